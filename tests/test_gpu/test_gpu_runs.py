"""Whole runs by the tools: killed and resumed, on one process of NCCL, and tested on GPU and CPU."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch

from bkdsnn.checkpoints.files import load_file
from helpers import REPOSITORY, assert_same_checkpoint, demo_config

# Enough that a run is still going when its first checkpoint is seen.
EPOCHS = 40
LIMIT = 150
WITNESS = '''
import torch
from mmengine.hooks import Hook

from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class Witness(Hook):
    """Says what the processes are connected by."""

    def before_train(self, runner):
        print('connected by', torch.distributed.get_backend(), type(runner.model).__name__, flush=True)
'''


def start(folder, tool, *arguments, **env):
    """Start a tool; what it says is in a file of the folder."""
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), str(folder), os.environ.get('PYTHONPATH'))))
    env = {**os.environ, 'PYTHONPATH': paths, 'OMP_NUM_THREADS': '1', 'NVIDIA_TF32_OVERRIDE': '0',
           'NCCL_SOCKET_IFNAME': 'lo', **env}  # there may be no other network
    with open(folder / 'output.log', 'ab') as log:
        return subprocess.Popen([sys.executable, str(REPOSITORY / tool), *map(str, arguments)], stdout=log,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)


def finish(process, folder):
    try:
        code = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        code = f'none within {LIMIT} s'
    said = (folder / 'output.log').read_text(errors='replace')
    assert code == 0, f'{process.args}: exit code {code}\n{said[-3000:]}'


@pytest.fixture(scope='module')
def runs(tmp_path_factory, small_teacher):
    """Folders of equal runs, side by side: ``whole``; ``killed`` after its first checkpoint, and resumed; ``nccl``."""
    folder, processes = tmp_path_factory.mktemp('runs'), {}
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    together = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    for name in ('whole', 'killed', 'nccl'):
        (folder / name).mkdir()
        cfg = demo_config('mixed', folder / name, small_teacher, epochs=EPOCHS, **{
            'model.student.backbone.norm': dict(type='SyncBN'), 'default_hooks.logger.interval': 10})
        cfg.randomness = dict(seed=0, deterministic=True)
        if name == 'nccl':
            (folder / name / 'witness.py').write_text(WITNESS)
            cfg.custom_imports = dict(imports=['witness'])
            cfg.custom_hooks.append(dict(type='Witness'))
        cfg.dump(str(folder / name / 'config_of_test.py'))
        launch, env = (('--launcher', 'pytorch'), together) if name == 'nccl' else ((), {})
        processes[name] = start(folder / name, 'tools/train.py', folder / name / 'config_of_test.py', *launch, **env)
    try:
        killed, deadline = folder / 'killed', time.time() + LIMIT
        while (not (killed / 'last_checkpoint').exists() and processes['killed'].poll() is None
               and time.time() < deadline):
            time.sleep(0.005)
        processes['killed'].send_signal(signal.SIGKILL)
        processes['killed'].wait(30)
        said = (killed / 'output.log').read_text(errors='replace')[-3000:]
        assert list(killed.glob('epoch_*.pth')), f'no checkpoint was written:\n{said}'
        assert not (killed / f'epoch_{EPOCHS}.pth').exists(), 'the run was over before it was killed'
        processes['killed'] = start(killed, 'tools/train.py', killed / 'config_of_test.py', '--resume')
        for name, process in processes.items():
            finish(process, folder / name)
    finally:
        for process in processes.values():
            process.kill()
    return folder


def last(folder):
    return load_file(str(folder / f'epoch_{EPOCHS}.pth'))


def test_killed_and_resumed_equals_uninterrupted(runs):
    """To the last bit, with deterministic algorithms."""
    assert 'resumed epoch' in (runs / 'killed' / 'output.log').read_text(errors='replace')
    assert_same_checkpoint(last(runs / 'whole'), last(runs / 'killed'))


def test_one_process_of_nccl_equals_none(runs):
    """DDP and synchronised norms, by the launcher's environment."""
    assert 'connected by nccl MMDistributedDataParallel' in (runs / 'nccl' / 'output.log').read_text(errors='replace')
    whole, nccl = last(runs / 'whole')['state_dict'], last(runs / 'nccl')['state_dict']
    assert whole.keys() == nccl.keys()
    errors = {key: (whole[key].double() - nccl[key].double()).abs().max().item() for key in whole}
    worst = max(errors, key=errors.get)
    assert errors[worst] <= 1e-6, f'{worst} differs by {errors[worst]:.3g}; ' \
                                  f'{sum(error > 0 for error in errors.values())} of {len(errors)} entries differ'


def test_the_run_learned(runs):
    (path, ) = (runs / 'whole').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    losses, accuracy = [line['loss'] for line in lines if 'loss' in line], lines[-1]['accuracy/top1']
    assert losses[-1] < losses[0] and accuracy > 20, f'losses {losses[0]:.3g} to {losses[-1]:.3g}, {accuracy:.1f} %'


def test_tested_on_gpu_and_cpu_it_is_as_accurate(runs, tmp_path):
    """In fp32 few samples may be answered otherwise, see ``test_gpu_inference.py``."""
    found = {}
    for device, env in dict(gpu={}, cpu=dict(CUDA_VISIBLE_DEVICES='')).items():
        (tmp_path / device).mkdir()
        found[device] = start(tmp_path / device, 'tools/test.py', runs / 'whole' / 'config_of_test.py', runs / 'whole',
                              '--work-dir', tmp_path / device, '--out', tmp_path / device / 'metrics.json',
                              '--out-item', 'metrics', **env)
    for device, process in found.items():
        finish(process, tmp_path / device)
    gpu, cpu = (json.loads((tmp_path / device / 'metrics.json').read_text())['accuracy/top1'] for device in found)
    samples = 797
    assert abs(gpu - cpu) <= 100 * 3 / samples + 1e-6, f'{gpu:.3f} % on the GPU, {cpu:.3f} % on the CPU'
    assert torch.cuda.is_available() and 20 < gpu <= 100
