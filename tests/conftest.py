"""Shared by all tests."""
import os
import random
import sys
from collections import OrderedDict
from pathlib import Path

os.environ.setdefault('MPLBACKEND', 'Agg')

import hypothesis
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import bkdsnn  # noqa: F401
from bkdsnn.models.neurons import nodes
from bkdsnn.registry import DATASETS, METRICS, MODELS, SURROGATES, TRANSFORMS
from generated_runs import train_comparison
from helpers import NEVER, REPOSITORY, demo_config, save_time
from long_tests import LONG

# No example fails for its time, and a red run is the change's: examples are the same in each.
hypothesis.settings.register_profile('suite', deadline=None, derandomize=True)
hypothesis.settings.load_profile('suite')
# Below tests/: whole runs, tools and exports, and what has to be compiled.
SLOW = ('test_apis/test_demos.py', 'test_apis/test_package.py', 'test_benchmarks.py', 'test_docs.py', 'test_engine/',
        'test_export/', 'test_models/test_compiled_neurons.py', 'test_models/test_eval_state.py',
        'test_gpu/', 'test_models/test_fused_norm_and_compression.py', 'test_play/', 'test_report/', 'test_tools/',
        'test_visualization/')
# Below tests/: recorded numbers, sums next to thresholds, and what a back end allocates.
ANY_CPU = ('test_evaluation/test_memory.py', 'test_models/test_golden', 'test_models/test_sparse_conv.py')


def pytest_collection_modifyitems(items):
    """Mark tests by where they are; see the markers in pyproject.toml."""
    for item in items:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        for marker, places in ((pytest.mark.slow, SLOW), (pytest.mark.any_cpu, ANY_CPU)):
            if path.startswith(places):
                item.add_marker(marker)
        if any(name in item.name for name in LONG.get(path, ())):
            item.add_marker(pytest.mark.long)


def pytest_collection_finish():
    """After all modules are imported."""
    save_time()


@pytest.fixture(autouse=True)
def quiet_and_reproducible(monkeypatch):
    """Our scope, a fixed seed and one thread (small tensors gain nothing from two) unless it is said otherwise."""
    torch.set_num_threads(int(os.environ.get('BKDSNN_TEST_THREADS', 1)))
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(0)
    # Compiling takes longer than all else; what is about it asks for it.
    monkeypatch.setattr(nodes, 'MIN_NUMBERS_TO_COMPILE', NEVER)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        yield


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """A folder with the repository's configs and tools, where a user runs, and whose modules are forgotten again."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    modules = set(sys.modules)
    # As in a fresh interpreter, where nobody has set our scope.
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    yield tmp_path
    own = {name for name in set(sys.modules) - modules
           if Path(getattr(sys.modules[name], '__file__', None) or '/').is_relative_to(tmp_path)}
    for name in own:
        del sys.modules[name]
    for registry in (MODELS, SURROGATES, DATASETS, TRANSFORMS, METRICS):
        for name, component in list(registry.module_dict.items()):
            if component.__module__ in own:
                del registry.module_dict[name]


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


@pytest.fixture(scope='session')
def small_comparison(tmp_path_factory, small_teacher):
    """Folder with ``plain`` and ``mixed``, two seeds each, and a summary; see :func:`train_comparison`."""
    torch.set_num_threads(1)
    return train_comparison(tmp_path_factory.mktemp('comparison'), small_teacher)


@pytest.fixture(scope='session')
def small_report(tmp_path_factory, small_comparison):
    """Page and picture about :func:`small_comparison`, measured on 30 samples."""
    from bkdsnn.report import write_report  # most tests need not wait for it
    folder = tmp_path_factory.mktemp('report') / 'new'
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        page = write_report(str(small_comparison), out=str(folder / 'report.html'), picture=str(folder / 'picture.png'),
                            samples=30)
    return page, folder / 'picture.png'
