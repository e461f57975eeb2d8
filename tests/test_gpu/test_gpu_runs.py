"""Whole runs by the tools: killed and resumed, on one process of NCCL, and tested on GPU and CPU."""
import json

from bkdsnn.checkpoints.files import load_file
from gpu_runs import EPOCHS, finish, said, start
from helpers import assert_same_checkpoint


def last(folder):
    return load_file(str(folder / f'epoch_{EPOCHS}.pth'))


def test_killed_and_resumed_equals_uninterrupted(runs):
    """To the last bit, with deterministic algorithms."""
    assert 'resumed epoch' in said(runs / 'killed')
    assert_same_checkpoint(last(runs / 'whole'), last(runs / 'killed'))


def test_one_process_of_nccl_equals_none(runs):
    """DDP and synchronised norms, by the launcher's environment."""
    assert 'connected by nccl MMDistributedDataParallel' in said(runs / 'nccl')
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
    found, samples = {}, 797
    for device, env in dict(gpu={}, cpu=dict(CUDA_VISIBLE_DEVICES='')).items():
        (tmp_path / device).mkdir()
        found[device] = start(tmp_path / device, 'tools/test.py', runs / 'whole' / 'config_of_test.py', runs / 'whole',
                              '--work-dir', tmp_path / device, '--out', tmp_path / device / 'metrics.json',
                              '--out-item', 'metrics', **env)
    for device, process in found.items():
        finish(process, tmp_path / device)
    gpu, cpu = (json.loads((tmp_path / device / 'metrics.json').read_text())['accuracy/top1'] for device in found)
    assert abs(gpu - cpu) <= 100 * 3 / samples + 1e-6, f'{gpu:.3f} % on the GPU, {cpu:.3f} % on the CPU'
    assert 20 < gpu <= 100
