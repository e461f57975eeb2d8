"""Shared by all tests."""
import os

os.environ.setdefault('MPLBACKEND', 'Agg')

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import bkdsnn  # noqa: F401
from helpers import demo_config


@pytest.fixture(autouse=True)
def quiet_and_reproducible():
    """Our scope, a fixed seed and one thread: small tensors gain nothing from two."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        yield


@pytest.fixture(scope='session')
def small_teacher(tmp_path_factory):
    """Work directory of a small teacher trained for two epochs, with its config ``small.py``."""
    folder = tmp_path_factory.mktemp('teacher')
    cfg = demo_config('teacher', folder)
    cfg.model.backbone.update(stem_channels=4, base_channels=4)
    cfg.model.head.in_channels = 16
    cfg.dump(str(folder / 'small.py'))
    torch.set_num_threads(1)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        Runner.from_cfg(cfg).train()
    return folder
