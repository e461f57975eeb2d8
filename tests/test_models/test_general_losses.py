"""General distillation losses: against the numbers recorded from their authors' code, and where they are undefined."""
import pytest
import torch

import golden
from bkdsnn.models import (
    ATLoss,
    DISTLoss,
    DKDLoss,
    LogitsKDLoss,
    ReviewKDLoss,
    RKDLoss,
    hcl_loss,
)

PRECISIONS = [torch.float64, torch.float32]


def cases(*files):
    """Parameters: file, case and precision."""
    return pytest.mark.parametrize('file, name, dtype', [
        (file, name, dtype) for file in files for name in golden.cases(file) for dtype in PRECISIONS])


def check(loss, case, dtype, inputs, gradients=None, out='out/loss'):
    """Value and gradients of a loss of the case's inputs; the first is the student's, and the teacher gets none."""
    inputs = {name: case[f'in/{name}'].requires_grad_() for name in inputs}
    value = loss(**inputs)
    exact = dtype is torch.float64
    torch.testing.assert_close(value.double(), case[out].double(), rtol=1e-9 if exact else 1e-5, atol=0)
    value.backward()
    assert value.dtype is dtype
    ...
