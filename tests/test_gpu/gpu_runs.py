"""Runs of the tools on a GPU, in processes of their own, so that other tests go on meanwhile."""
import os
import signal
import socket
import subprocess
import sys
import time

from helpers import REPOSITORY, demo_config

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
    """Wait for a tool, and fail with the end of what it has said if it fails."""
    try:
        code = process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        code = f'none within {LIMIT} s'
    assert code == 0, f'{process.args}: exit code {code}\n{said(folder)[-3000:]}'


def said(folder):
    """All that the tools of a folder have said."""
    return (folder / 'output.log').read_text(errors='replace')


def start_runs(folder, teacher):
    """Three equal trainings by the name of their folders; ``nccl`` is launched as one of several processes."""
    processes = {}
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    together = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    for name in ('whole', 'killed', 'nccl'):
        (folder / name).mkdir()
        cfg = demo_config('mixed', folder / name, teacher, epochs=EPOCHS, **{
            'model.student.backbone.norm': dict(type='SyncBN'), 'default_hooks.logger.interval': 10})
        cfg.randomness = dict(seed=0, deterministic=True)
        if name == 'nccl':
            (folder / name / 'witness.py').write_text(WITNESS)
            cfg.custom_imports = dict(imports=['witness'])
            cfg.custom_hooks.append(dict(type='Witness'))
        cfg.dump(str(folder / name / 'config_of_test.py'))
        launch, env = (('--launcher', 'pytorch'), together) if name == 'nccl' else ((), {})
        processes[name] = start(folder / name, 'tools/train.py', folder / name / 'config_of_test.py', *launch, **env)
    return processes


def finish_runs(folder, processes):
    """Kill the one named ``killed`` after its first checkpoint and resume it; wait for all."""
    try:
        killed, deadline = folder / 'killed', time.time() + LIMIT
        while (not (killed / 'last_checkpoint').exists() and processes['killed'].poll() is None
               and time.time() < deadline):
            time.sleep(0.005)
        processes['killed'].send_signal(signal.SIGKILL)
        processes['killed'].wait(30)
        assert list(killed.glob('epoch_*.pth')), f'no checkpoint was written:\n{said(killed)[-3000:]}'
        assert not (killed / f'epoch_{EPOCHS}.pth').exists(), 'the run was over before it was killed'
        processes['killed'] = start(killed, 'tools/train.py', killed / 'config_of_test.py', '--resume')
        for name, process in processes.items():
            finish(process, folder / name)
    finally:
        for process in processes.values():
            process.kill()
    return folder
