"""Several processes train as one."""
import json
import os
import socket
import subprocess

import pytest
import torch
from mmengine.runner import Runner

from bkdsnn.apis.cli import build_checked_runner
from bkdsnn.checkpoints.files import load_file
from bkdsnn.models.layers import sync_batch_norm
from helpers import REPOSITORY, demo_config, run_tool, tool_environment


def config(folder, teacher, batch_size):
    # Four steps: later, a difference of rounding moves a membrane over the threshold and the runs part.
    cfg = demo_config('mixed', folder, teacher, epochs=2, **{'train_dataloader.batch_size': batch_size})
    cfg.model.student.backbone.norm = dict(type='SyncBN')
    # The pipeline's own draws differ between processes; the blur masks follow the whole batch.
    cfg.train_dataloader.dataset.pipeline = [dict(type='mmpretrain.PackInputs')]
    folder.mkdir()
    cfg.dump(str(folder / 'config_of_test.py'))
    return folder / 'config_of_test.py'


def logged(folder):
    (path, ) = folder.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return [{k: v for k, v in line.items() if 'loss' in k} for line in lines if 'loss' in line]


def test_two_processes_give_the_losses_and_weights_of_one_with_twice_the_batch(tmp_path, small_teacher):
    one = run_tool('tools/train.py', config(tmp_path / 'one', small_teacher, 50))
    assert one.returncode == 0, one.stderr[-2000:]
    two = subprocess.run(
        [REPOSITORY / 'tools/dist_train.sh', config(tmp_path / 'two', small_teacher, 25), '2'], cwd=tmp_path,
        env=tool_environment(), capture_output=True, text=True, timeout=240, check=False)
    assert two.returncode == 0, two.stderr
    a, b = logged(tmp_path / 'one'), logged(tmp_path / 'two')
    assert len(a) == len(b) == 4 and set(a[0]) == {'loss', 'loss_cls', 'loss_bkd', 'loss_wsld'}
    for x, y in zip(a, b):
        assert y == pytest.approx(x, rel=1e-5)
    a, b = (load_file(str(tmp_path / name / 'epoch_2.pth'))['state_dict'] for name in ('one', 'two'))
    assert a.keys() == b.keys() and any('restore' in key for key in a)
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize('tool, arguments, words', [
    ('dist_train.sh', ['c.py'], 'Usage: tools/dist_train.sh CONFIG GPUS'),
    ('dist_train.sh', ['c.py', '--resume'], 'GPUS=--resume is no whole number of at least 1'),
    ('dist_test.sh', ['c.py', 'x.pth'], 'Usage: tools/dist_test.sh CONFIG CHECKPOINT GPUS')])
def test_a_missing_number_of_processes_is_named(tool, arguments, words):
    done = subprocess.run([REPOSITORY / 'tools' / tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run([REPOSITORY / 'tools/dist_test.sh', 'config.py', 'x.pth', '2'], cwd=tmp_path,
                              env=tool_environment(PORT=port), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(f'Error: port {port} of this machine is taken') and 'PORT=29501' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_jobs_of_slurm_that_share_a_machine_meet_at_ports_of_their_own(tmp_path, monkeypatch):
    class Built(Exception):
        pass

    def build(cfg):
        raise Built

    monkeypatch.setattr(Runner, 'from_cfg', build)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)  # then mmengine connects them
    monkeypatch.setenv('MASTER_PORT', 'before')  # is what it is again afterwards
    cfg = demo_config('plain', tmp_path, launcher='slurm')
    for job, given, expected in (('412345', None, '22345'), ('412346', None, '22346'), ('412346', '5000', '5000')):
        monkeypatch.setenv('SLURM_JOB_ID', job)
        monkeypatch.delenv('MASTER_PORT', raising=False)
        if given:
            monkeypatch.setenv('MASTER_PORT', given)
        with pytest.raises(Built):
            build_checked_runner(cfg)
        assert os.environ['MASTER_PORT'] == expected


def test_sync_batch_norm_in_one_process_is_batch_norm():
    ours, reference = sync_batch_norm(4), torch.nn.BatchNorm2d(4)
    x = torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(ours(x), reference(x))
    torch.testing.assert_close(ours.running_var, reference.running_var)
