"""Tests on a CUDA device; without one all of them are skipped."""
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Before cuBLAS is used first; it reads this once, and runs that shall repeat each other need it.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')

import pytest
import torch

from gpu_runs import finish_runs, start_runs

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


@pytest.fixture(scope='session', autouse=True)
def runs_meanwhile(request, tmp_path_factory):
    """Whole runs, which take longest, from the first test on, if any test asks for them."""
    if not any('runs' in item.fixturenames for item in request.session.items):
        yield
        return
    folder = tmp_path_factory.mktemp('runs')
    processes = start_runs(folder, request.getfixturevalue('small_teacher'))
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(finish_runs, folder, processes)


@pytest.fixture(scope='session')
def runs(runs_meanwhile):
    """Folder of ``whole``, ``killed`` (and resumed) and ``nccl``, see ``gpu_runs.py``."""
    return runs_meanwhile.result()
