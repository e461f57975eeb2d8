"""Layers of losses that learn at rates of their own."""
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from bkdsnn.apis.cli import build_runner
from bkdsnn.config.checks import check_config
from bkdsnn.config.files import read_config_file
from bkdsnn.registry import MODELS
from helpers import DEMO, assert_same_checkpoint, demo_config

BKD = 'model.losses.loss_bkd.'


def mixed(**changes):
    """The demo's mixed method, from the teacher that comes with it."""
    cfg = read_config_file(DEMO / 'mixed.py')
    cfg.merge_from_dict({'model.teacher.checkpoint': str(DEMO / 'weights' / 'teacher-1b5d4f7b.pth'), **changes})
    return cfg


def rates_of(cfg):
    """Rate and weight decay by parameter, as the optimizer has them."""
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = MODELS.build(cfg.model)
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    found = {id(one): (group['lr'], group['weight_decay']) for group in groups for one in group['params']}
    return {name: found[id(one)] for name, one in model.named_parameters()}


@pytest.mark.parametrize('paramwise', [None, dict(norm_decay_mult=0.0, custom_keys={'head': dict(lr_mult=0.5)})])
@pytest.mark.parametrize('constructor', [None, 'bkdsnn.DefaultOptimWrapperConstructor'])
def test_the_layers_of_a_loss_learn_at_their_factor_and_all_others_as_before(paramwise, constructor):
    changes = {'optim_wrapper.paramwise_cfg': paramwise}
    if constructor is not None:
        changes['optim_wrapper.constructor'] = constructor
    cfg = mixed(**changes, **{f'{BKD}lr_mult': 0.1})
    check_config(cfg)
    plain, slowed = rates_of(mixed(**changes)), rates_of(cfg)
    assert plain.keys() == slowed.keys() and any(name.startswith('losses.') for name in plain)
    for name, (rate, decay) in plain.items():
        factor = 0.1 if name.startswith('losses.loss_bkd.') else 1
        assert slowed[name] == (pytest.approx(rate * factor), decay)
    assert len({rate for rate, _ in plain.values()}) == 1 + (paramwise is not None)


def test_one_step_goes_a_tenth_of_the_way():
    """Under SGD, without momentum, decay and clipping."""
    steps = {}
    for factor in (None, 0.1):
        torch.manual_seed(0)
        cfg = mixed(**{f'{BKD}lr_mult': factor})
        cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.5))
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            model = MODELS.build(cfg.model)
            wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        before = {name: one.detach().clone() for name, one in model.named_parameters()}
        wrapper.update_params(sum((one * one).sum() for one in model.parameters()))
        steps[factor] = {name: one.detach() - before[name] for name, one in model.named_parameters()}
    for name, step in steps[None].items():
        factor = 0.1 if name.startswith('losses.') else 1
        torch.testing.assert_close(steps[0.1][name], step * factor, rtol=1e-4, atol=1e-6)


def test_a_loss_without_layers_has_no_rate_of_its_own():
    cfg = mixed(**{'model.losses.loss_wsld.lr_mult': 0.1})
    with DefaultScope.overwrite_default_scope('bkdsnn'), pytest.raises(ValueError, match='wsld.lr_mult=0.1 is how'):
        MODELS.build(cfg.model)


@pytest.mark.parametrize('changes, words', [
    ({f'{BKD}lr_mult': 0}, 'model.losses.loss_bkd.lr_mult=0 must be a finite number above 0'),
    ({f'{BKD}lr_mult': '0.1'}, 'without quotes'), ({f'{BKD}lr_mul': 0.1}, "Did you mean 'lr_mult'"),
    ({f'{BKD}lr_mult': 0.1, 'optim_wrapper.constructor': 'mmpretrain.LearningRateDecayOptimWrapperConstructor'},
     "lr_mult takes optim_wrapper.constructor='bkdsnn.DefaultOptimWrapperConstructor', and mmpretrain.Lea"),
    ({f'{BKD}lr_mult': 0.1, 'optim_wrapper.optimizer.lr': None}, 'optimizer.lr')])
def test_what_cannot_be_a_rate_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        check_config(mixed(**changes))


@pytest.fixture(scope='module')
def run(tmp_path_factory, small_teacher):
    """Two epochs with the block at a tenth of the rate."""
    folder = tmp_path_factory.mktemp('run')
    build_runner(demo_config('mixed', folder, small_teacher, epochs=2, **{f'{BKD}lr_mult': 0.1})).train()
    return folder


def resumed(run, folder, teacher, factor):
    """The second epoch once more."""
    cfg = demo_config('mixed', folder, teacher, epochs=2, **{f'{BKD}lr_mult': factor})
    cfg.merge_from_dict({'resume': True, 'load_from': str(run / 'epoch_1.pth')})
    build_runner(cfg).train()
    return torch.load(folder / 'epoch_2.pth', weights_only=False)


def test_a_run_keeps_the_rates_through_its_schedule_and_goes_on_with_them(run, tmp_path, small_teacher):
    whole = torch.load(run / 'epoch_2.pth', weights_only=False)
    assert_same_checkpoint(whole, resumed(run, tmp_path, small_teacher, 0.1))
    rates = {group.get('lr_mult', 1): group['lr'] for group in whole['optimizer']['param_groups']}
    assert rates.keys() == {1, 0.1} and 0 < rates[0.1] == pytest.approx(0.1 * rates[1])


def test_a_factor_that_has_changed_takes_effect_in_a_resumed_run_or_is_refused(run, tmp_path, small_teacher):
    groups = resumed(run, tmp_path / 'faster', small_teacher, 0.5)['optimizer']['param_groups']
    rates = {group.get('lr_mult', 1): group['lr'] for group in groups}
    assert rates.keys() == {1, 0.5} and 0 < rates[0.5] == pytest.approx(0.5 * rates[1])
    with pytest.raises(ValueError, match='loss_bkd.lr_mult.*groups'):
        resumed(run, tmp_path / 'none', small_teacher, None)
    assert not list((tmp_path / 'none').glob('*.pth'))
