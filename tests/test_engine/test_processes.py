"""Two processes whose batch norms count their own samples: they validate, save and resume one network."""
import json
import os
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner

from bkdsnn.apis.cli import build_runner
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.hooks import ResumeCheckHook, SyncBuffersHook, TeacherCheckHook, resume_check_hook
from bkdsnn.models.layers.norm import CPUSyncBatchNorm2d
from helpers import assert_same_checkpoint, demo_config, run_in_processes, run_tool, run_tool_in_processes

SAMPLES = 21  # which two processes cannot share evenly
WITNESS = '''
import json
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from bkdsnn.apis.evaluate import spread_samples
from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class Witness(Hook):
    """Writes down what was logged, and what this process alone finds on all of the validation data."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.trained = self.buffers(runner)

    def after_val_epoch(self, runner, metrics=None):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loader = runner.val_loop.dataloader
        with torch.no_grad():
            answers = [model.val_step(batch)[0] for batch in spread_samples(loader, len(loader.dataset))]
        right = sum((answer.pred_label == answer.gt_label).item() for answer in answers)
        found = dict(logged=metrics, own=100 * right / len(answers), trained=self.trained,
                     buffers=self.buffers(runner), scores=[answer.pred_score.tolist() for answer in answers])
        (Path(runner.work_dir) / f'rank{runner.rank}-epoch{runner.epoch}.json').write_text(json.dumps(found))

    @staticmethod
    def buffers(runner):
        return [buffer.tolist() for buffer in runner.model.buffers()]
'''


def config(folder, teacher):
    """Two epochs of two steps; each validated sample is a batch, so that it is computed alike in all ways."""
    cfg = demo_config('mixed', folder / 'work', teacher, epochs=2, **{
        'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 25, 'val_dataloader.batch_size': 1,
        'val_dataloader.dataset.indices': SAMPLES, 'default_hooks.synops': dict(type='SynOpsHook'),
        'model.student.backbone.arch.widths': (8, 8, 16), 'model.student.head.in_channels': 16,
        'model.student.backbone.norm': dict(type='BN', momentum=0.9)})
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator = cfg.test_evaluator = [dict(type='mmpretrain.Accuracy'), dict(type='AccuracyOverTime')]
    return cfg


@pytest.fixture(scope='module')
def run(tmp_path_factory, small_teacher):
    """A run of two processes."""
    folder = tmp_path_factory.mktemp('processes')
    (folder / 'witness.py').write_text(WITNESS)
    cfg = config(folder, small_teacher)
    cfg.custom_imports = dict(imports=['witness'])
    cfg.custom_hooks.append(dict(type='Witness', priority='LOWEST'))
    cfg.dump(str(folder / 'config_of_test.py'))
    train(folder)
    return folder


def train(folder, *arguments):
    done = run_tool_in_processes(2, 'tools/train.py', folder / 'config_of_test.py', *arguments, cwd=folder,
                                 PYTHONPATH=str(folder))
    assert not any(process.returncode for process in done), done[0].stderr[-2000:] + done[1].stderr[-2000:]


def witnessed(folder, epoch):
    return [json.loads((folder / f'rank{rank}-epoch{epoch}.json').read_text()) for rank in range(2)]


def test_processes_that_have_seen_other_samples_validate_one_network(run):
    for epoch in (1, 2):
        first, second = witnessed(run / 'work', epoch)
        assert first['trained'] != second['trained']
        for key in ('buffers', 'scores', 'own', 'logged'):
            assert first[key] == second[key], key
        assert 0 < first['own'] < 100 and first['logged']['accuracy/top1'] == pytest.approx(first['own'], abs=1e-5)


def test_the_saved_network_is_the_validated_one(run, tmp_path):
    """One process finds the same figures, to the digit; of the sums that energy is made of, up to their order."""
    shutil.copy(run / 'work' / 'epoch_2.pth', tmp_path)
    done = run_tool('tools/test.py', run / 'config_of_test.py', tmp_path / 'epoch_2.pth', '--work-dir', tmp_path,
                    '--out', tmp_path / 'metrics.json', '--out-item', 'metrics', cwd=run, PYTHONPATH=str(run))
    assert done.returncode == 0, done.stderr[-2000:]
    tested = json.loads((tmp_path / 'metrics.json').read_text())
    found, _ = witnessed(run / 'work', 2)
    logged = found['logged']
    assert {key for key in tested if key.startswith('accuracy')} > {'accuracy/top1', 'accuracy/step1'}
    assert logged == pytest.approx(tested, rel=1e-9)
    for key in tested:
        assert not key.startswith('accuracy') or logged[key] == tested[key], key
    saved = load_file(str(tmp_path / 'epoch_2.pth'))['state_dict']
    statistics = [value.tolist() for key, value in saved.items() if 'running' in key or 'num_batches' in key]
    assert statistics and all(value in found['buffers'] for value in statistics)


def test_resumed_processes_go_on_exactly(run, tmp_path, small_teacher):
    """And a sampler that repeats a sample, so that both have as many, counts none twice."""
    train(run, '--work-dir', tmp_path, '--resume', run / 'work' / 'epoch_1.pth', '--cfg-options',
          'val_dataloader.sampler.round_up=True')
    assert_same_checkpoint(*(load_file(str(folder / 'epoch_2.pth')) for folder in (run / 'work', tmp_path)))
    before, (first, second) = witnessed(run / 'work', 2), witnessed(tmp_path, 2)
    for key in ('trained', 'buffers', 'scores', 'own'):
        assert [first[key], second[key]] == [found[key] for found in before]
    for key, value in first['logged'].items():
        assert not key.startswith('accuracy') or value == before[0]['logged'][key]
    (log, ) = tmp_path.glob('*/*.log')
    (teacher, ) = re.findall(r'Teacher accuracy on the validation data: ([\d.]+) %', log.read_text())
    alone = Runner.from_cfg(config(tmp_path, small_teacher))
    accuracy = TeacherCheckHook.measure(alone.model, alone.build_dataloader(alone.cfg.val_dataloader))
    assert teacher == f'{accuracy:.2f}' and 0 < accuracy < 100


def resumed(run, folder, teacher, **options):
    """In one process, a run that goes on after the first epoch of two processes."""
    cfg = config(folder, teacher)
    cfg.merge_from_dict({'resume': True, 'load_from': str(run / 'work' / 'epoch_1.pth'), **options})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.model.teacher.expected_accuracy = None
    return build_runner(cfg)


@pytest.mark.parametrize('options, words', [
    ({}, r'2 steps in 1 epochs, 2 in each, .* 4 steps in an epoch \(1 x train_dataloader.batch_size=25\)'),
    ({'train_dataloader.batch_size': 100}, '2 in each, but this run has 1 steps in an epoch'),
    ({'train_dataloader.batch_size': 50, 'optim_wrapper.accumulative_counts': 2},
     '50 samples in an update of the weights, but this one has 100'),
])
def test_resuming_another_training_is_refused_with_both_numbers(run, tmp_path, small_teacher, options, words):
    with pytest.raises(ValueError, match=words):
        resumed(run, tmp_path, small_teacher, **options).train()
    assert not list(tmp_path.rglob('*.pth'))


def test_one_process_with_twice_the_batch_goes_on_under_the_same_schedule(run, tmp_path, small_teacher):
    resumed(run, tmp_path, small_teacher, **{'train_dataloader.batch_size': 50}).train()
    ours, theirs = (load_file(str(folder / 'work' / 'epoch_2.pth')) for folder in (tmp_path, run))
    assert ours['param_schedulers'] == theirs['param_schedulers']
    for key in ('epoch', 'iter'):
        assert ours['meta'][key] == theirs['meta'][key]
    for group, other in zip(ours['optimizer']['param_groups'], theirs['optimizer']['param_groups']):
        assert group['lr'] == other['lr']


def find_checkpoint(rank, number, folder):
    """The first process has found a checkpoint, then one that is in a folder of its own."""
    resume_check_hook.PATIENCE = 0.1
    own = folder / str(rank)
    own.mkdir()
    os.chdir(own)
    (folder / 'epoch_1.pth').touch()
    (own / 'epoch_2.pth').touch() if rank == 0 else None
    hook, found = ResumeCheckHook(), str(folder / 'epoch_1.pth')
    runner = SimpleNamespace(_resume=rank == 0, _load_from=found if rank == 0 else None)
    hook.before_run(runner)
    assert runner._resume and runner._load_from == found
    runner = SimpleNamespace(_resume=True, _load_from='epoch_2.pth')
    with pytest.raises(ValueError, match=r"goes on from 'epoch_2.pth', which processes \[1\] of 2 do not find"):
        hook.before_run(runner)


def test_all_processes_go_on_from_what_the_first_has_found(tmp_path):
    run_in_processes(2, find_checkpoint, tmp_path)


def test_configs_that_list_no_hooks_get_both(tmp_path):
    for hooks in ({}, dict(sync_buffers=dict(type='SyncBuffersHook'))):
        cfg = demo_config('plain', tmp_path)
        cfg.custom_hooks, cfg.default_hooks = [], hooks
        for kind in (SyncBuffersHook, ResumeCheckHook):
            assert sum(isinstance(hook, kind) for hook in build_runner(cfg).hooks) == 1


def half_precision_norm(rank, number, folder):
    """Rank 1 has other samples; both get the statistics of all, in fp32, and their type back."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 2, 2).bfloat16()
    norm = CPUSyncBatchNorm2d(3)
    y = norm(x[2 * rank:2 * rank + 2])
    whole = torch.nn.BatchNorm2d(3)
    want = whole(x.float())[2 * rank:2 * rank + 2]
    assert y.dtype == torch.bfloat16 and norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(y.float(), want, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(norm.running_var, whole.running_var)


def test_synchronised_norms_of_half_precision_have_statistics_in_fp32(tmp_path):
    run_in_processes(2, half_precision_norm, tmp_path)
