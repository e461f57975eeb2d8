"""Shared by all tests."""
import os

os.environ.setdefault('MPLBACKEND', 'Agg')

import pytest
import torch
from mmengine.registry import DefaultScope

import bkdsnn  # noqa: F401


@pytest.fixture(autouse=True)
def quiet_and_reproducible():
    """Our scope, a fixed seed and one thread: small tensors gain nothing from two."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        yield
