"""Tests on a CUDA device; without one all of them are skipped."""
import os
from pathlib import Path

# Before cuBLAS is used first; it reads this once, and runs that shall repeat each other need it.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest
import torch

HERE = Path(__file__).parent
REASON = 'PyTorch sees no CUDA device'


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason=REASON))


def pytest_terminal_summary(terminalreporter):
    if not torch.cuda.is_available():
        terminalreporter.write_line(f'tests/test_gpu: skipped, as {REASON}.')


@pytest.fixture(autouse=True)
def exact_and_restored():
    """Convolutions in fp32 are none in TF32, faults are raised in their own test, and settings last no longer."""
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ('allow_tf32', 'benchmark', 'deterministic')}
    half = torch.get_autocast_dtype('cuda')
    cudnn.allow_tf32 = cudnn.benchmark = False
    yield
    torch.cuda.synchronize()
    torch.use_deterministic_algorithms(False)
    torch.set_autocast_dtype('cuda', half)
    for name, value in kept.items():
        setattr(cudnn, name, value)
