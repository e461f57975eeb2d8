"""A resumed run with another config: what has changed takes effect as from the beginning, or is refused."""
import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.runner import Runner
from torch import nn

from bkdsnn.apis.cli import build_runner
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.hooks import resume_check_hook
from bkdsnn.engine.resumed_settings import replay
from bkdsnn.registry import PARAM_SCHEDULERS
from helpers import assert_same_checkpoint, demo_config

STEPS, EPOCHS = 2, 2  # an epoch of the small runs, and how many of them a checkpoint has
# One of each that mmengine and this package have and that follows no metric; steps and epochs.
SCHEDULES = [
    dict(type='CosineAnnealingLR', T_max=7, eta_min=0.01),
    dict(type='CosineAnnealingLR', T_max=5, begin=2, by_epoch=True, convert_to_iter_based=True),
    dict(type='LinearLR', start_factor=0.1, end=3),
    dict(type='LinearLR', start_factor=0.1, end=4, by_epoch=False),
    dict(type='MultiStepLR', milestones=[2, 4], gamma=0.3),
    dict(type='StepLR', step_size=2, gamma=0.5),
    dict(type='ExponentialLR', gamma=0.9, by_epoch=False),
    dict(type='ConstantLR', factor=0.5, end=3),
    dict(type='PolyLR', power=0.9, eta_min=0.001, end=8),
    dict(type='CosineRestartLR', periods=[2, 4], restart_weights=[1, 0.5], eta_min=0.0),
    dict(type='OneCycleLR', eta_max=0.5, total_steps=40, by_epoch=False),
    dict(type='CosineAnnealingMomentum', T_max=7),
    dict(type='WarmupCosineLR', T_max=8, warmup=2, warmup_lr=0.01),
]


def built(schedules):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3, momentum=0.9)
    given = dict(optimizer=optimizer, epoch_length=3)
    return optimizer, [PARAM_SCHEDULERS.build(copy.deepcopy(one), default_args=given) for one in schedules]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(SCHEDULES), min_size=1, max_size=3), st.integers(0, 24))
def test_replayed_schedules_are_those_of_training_to_the_bit(schedules, steps):
    optimizer, trained = built(schedules)
    for step in range(1, steps + 1):
        optimizer.step()
        for by_epoch in (False, True):
            for one in trained:
                if one.by_epoch == by_epoch and (step % 3 == 0 or not by_epoch):
                    one.step()
    again, replayed = built(schedules)
    replay(replayed, steps, steps // 3, 3)
    assert [one.state_dict() for one in replayed] == [one.state_dict() for one in trained]
    settings_of = [{key: value for key, value in one.param_groups[0].items() if key != 'params'}
                   for one in (optimizer, again)]
    assert settings_of[0] == settings_of[1]


def test_a_schedule_by_epoch_has_not_gone_on_at_a_last_step_that_was_saved():
    for epochs, expected in ((1, 0.15), (0, 0.3)):
        optimizer, schedules = built([dict(type='StepLR', step_size=1, gamma=0.5)])
        replay(schedules, 3, epochs, 3)
        assert optimizer.param_groups[0]['lr'] == expected


def config(folder, epochs=EPOCHS, **options):
    cfg = demo_config('plain', folder, epochs=epochs, **{
        'model.backbone.arch.widths': (4, 4, 8), 'model.head.in_channels': 8, 'optim_wrapper.optimizer.lr': 0.1,
        'param_scheduler.T_max': 4, 'default_hooks.checkpoint.max_keep_ckpts': 10, **options})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp('resumed')
    build_runner(config(folder)).train()
    return folder


def resumed(run, folder, epochs=4, after=None, **options):
    cfg = config(folder, epochs, **options)
    cfg.merge_from_dict(dict(resume=True, load_from=str(run / f'epoch_{after or EPOCHS}.pth')))
    return build_runner(cfg)


def rates(folder):
    lines = [json.loads(line) for path in folder.glob('*/vis_data/scalars.json') for line in
             path.read_text().splitlines()]
    return [(line['step'], line['lr']) for line in lines]


@pytest.mark.parametrize('options', [
    {'optim_wrapper.optimizer.lr': 0.03},
    {'optim_wrapper.optimizer.weight_decay': 0.02},
    {'optim_wrapper.optimizer.momentum': 0.5},
    {'param_scheduler.T_max': 8},
    {'param_scheduler': [dict(type='StepLR', step_size=3, gamma=0.1, by_epoch=False)]},
    {'param_scheduler': [dict(type='LinearLR', start_factor=0.1, end=3), dict(type='ConstantLR', begin=3, factor=0.5)]},
    {'param_scheduler': None},
], ids=lambda options: ', '.join(options))
def test_changed_settings_are_those_of_a_run_that_always_had_them(run, tmp_path, options):
    """Rates in the log, and all settings of optimizer and schedules in the checkpoint; the log says what changed."""
    resumed(run, tmp_path / 'resumed', **options).train()
    build_runner(config(tmp_path / 'whole', 4, **options)).train()
    assert rates(tmp_path / 'resumed') == rates(tmp_path / 'whole')[STEPS * EPOCHS:]
    ours, theirs = (load_file(str(tmp_path / name / 'epoch_4.pth')) for name in ('resumed', 'whole'))
    assert ours.get('param_schedulers') == theirs.get('param_schedulers')
    assert ours['optimizer']['param_groups'] == theirs['optimizer']['param_groups']
    (log, ) = (tmp_path / 'resumed').glob('*/*.log')
    for key in ('train_cfg.max_epochs', *options):
        assert f'Resumed with {key}' in log.read_text()


def test_a_finished_run_that_is_extended_does_not_stay_at_its_last_rate(run, tmp_path):
    resumed(run, tmp_path, **{'param_scheduler.T_max': 4}).train()
    assert len({rate for _, rate in rates(tmp_path)}) == 2 * STEPS


def test_unchanged_settings_leave_no_trace(run, tmp_path):
    """Also what the optimizer has learned stays, and nothing is said."""
    resumed(run, tmp_path, epochs=EPOCHS, after=1).train()
    assert_same_checkpoint(*(load_file(str(folder / 'epoch_2.pth')) for folder in (run, tmp_path)))
    (log, ) = tmp_path.glob('*/*.log')
    assert 'Resumed with' not in log.read_text()


@pytest.mark.parametrize('options, words', [
    ({'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=0.1)},
     'optim_wrapper.optimizer.type was SGD when the checkpoint was saved and is AdamW now, and cannot change'),
    ({'randomness.seed': 5}, 'randomness.seed was 0 when .* and is 5 now'),
    ({'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=0.0)},
     'optim_wrapper.paramwise_cfg.*parameters in 1 groups and that of the config in'),
    ({'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=20), 'custom_hooks': []},
     'train_cfg.by_epoch was True when .* and is False now'),
    ({'train_cfg.max_epochs': 1}, r'from after epoch 2, but train_cfg.max_epochs=1'),
    ({'optim_wrapper.optimizer.lr': 0.03,
      'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='loss')]}, 'follows the metrics'),
], ids=lambda value: ', '.join(value) if isinstance(value, dict) else '')
def test_what_cannot_change_within_a_run_is_refused(run, tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        resumed(run, tmp_path, **options).train()
    assert not list(tmp_path.rglob('*.pth'))


def test_a_seed_that_is_not_given_is_that_of_the_checkpoint(run, tmp_path):
    resumed(run, tmp_path, epochs=EPOCHS, after=1, **{'randomness.seed': None}).train()
    assert_same_checkpoint(*(load_file(str(folder / 'epoch_2.pth')) for folder in (run, tmp_path)))


def changed_checkpoint(run, folder, change):
    checkpoint = load_file(str(run / 'epoch_2.pth'))
    change(checkpoint)
    folder.mkdir(exist_ok=True)
    torch.save(checkpoint, folder / 'epoch_2.pth')
    return folder


def test_a_checkpoint_that_does_not_say_its_settings_goes_on_as_it_is_with_a_warning(run, tmp_path):
    silent = changed_checkpoint(run, tmp_path / 'from', lambda checkpoint: checkpoint['meta'].pop('cfg'))
    resumed(silent, tmp_path / 'to', **{'optim_wrapper.optimizer.lr': 0.5}).train()
    assert max(rate for _, rate in rates(tmp_path / 'to')) < 0.1
    (log, ) = (tmp_path / 'to').glob('*/*.log')
    assert 'WARNING - The checkpoint does not say its settings' in log.read_text()


# ---- inside an epoch ----

def by_steps(folder, teacher, **options):
    """A distillation with blur masks and augmentation, five steps an epoch, saved after each third."""
    return demo_config('mixed', folder, teacher, epochs=2, **{
        'train_dataloader.batch_size': 20, 'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 3, 'default_hooks.checkpoint.max_keep_ckpts': 10,
        'model.student.backbone.arch.widths': (4, 4, 8), 'model.student.head.in_channels': 8, **options})


@pytest.mark.parametrize('workers', [0, 2])
def test_a_run_goes_on_inside_an_epoch_to_the_bit(tmp_path, small_teacher, workers):
    options = {'train_dataloader.num_workers': workers}
    whole = build_runner(by_steps(tmp_path / 'whole', small_teacher, **options))
    whole.train()
    assert whole.iter == 10
    for step in (3, 6) if workers == 0 else (3, ):
        cfg = by_steps(tmp_path / f'from{step}', small_teacher, **options)
        cfg.merge_from_dict(dict(resume=True, load_from=str(tmp_path / 'whole' / f'iter_{step}.pth')))
        runner = build_runner(cfg)
        runner.train()
        assert runner.iter == 10
        assert_same_checkpoint(*(load_file(str(tmp_path / name / 'iter_10.pth')) for name in ('whole', f'from{step}')))
    if workers == 0:
        refused_inside_an_epoch(tmp_path, small_teacher)


def refused_inside_an_epoch(folder, teacher):
    cfg = by_steps(folder / 'refused', teacher)
    cfg.merge_from_dict(dict(resume=True, load_from=str(folder / 'whole' / 'iter_3.pth')))
    with pytest.raises(ValueError, match='after 3 of 5 steps, from where EpochBasedTrainLoop does not go on'):
        Runner.from_cfg(cfg).train()
    with pytest.raises(ValueError, match='as there were, 1, but now there are 2'), pytest.MonkeyPatch.context(
            ) as patch:
        runner = build_runner(cfg)
        patch.setattr(resume_check_hook, 'get_world_size', lambda: 2)
        patch.setattr(resume_check_hook.ResumeCheckHook, 'before_run', lambda self, runner: None)
        runner.train()
    checkpoint = load_file(cfg.load_from)
    del checkpoint['random_states']
    torch.save(checkpoint, cfg.load_from)
    with pytest.raises(ValueError, match='of 3 steps in 0 epochs, but this run has 5 steps in an epoch'):
        build_runner(cfg).train()
