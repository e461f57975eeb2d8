"""What can be wrong with the settings of a config, found before anything is built."""
import copy
import re
from functools import cache

import pytest
from mmengine.config import Config
from setting_cases import SETTINGS

from bkdsnn import init_model
from bkdsnn.config.checks import check_config, merge_options
from bkdsnn.config.checks.places import ROOTS
from bkdsnn.config.files import read_config_file
from bkdsnn.utils.names import distance, near_miss
from helpers import DEMO, REPOSITORY, run_tool


@cache
def demo(name):
    return read_config_file(DEMO / f'{name}.py')


def changed(name, changes):
    """A demo config with other values at some keys."""
    cfg = copy.deepcopy(demo(name))
    cfg.merge_from_dict(copy.deepcopy(changes))
    return cfg


@cache
def message_about(name):
    """What is said of a setting that is wrong."""
    config, changes, _ = SETTINGS[name]
    with pytest.raises(ValueError) as error:
        check_config(changed(config, changes))
    return str(error.value)


@pytest.mark.parametrize('name', SETTINGS)
def test_a_wrong_setting_is_named_with_the_way_out(name):
    message = message_about(name)
    assert all(word in message for word in SETTINGS[name][2]), message


@pytest.mark.parametrize('value', ['x', ['x'], 3], ids=repr)
@pytest.mark.parametrize('key', [
    *ROOTS, 'model.student', 'train_dataloader.dataset', 'train_dataloader.sampler', 'optim_wrapper.optimizer',
    'optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg', 'optim_wrapper.paramwise_cfg.custom_keys',
    'optim_wrapper.paramwise_cfg.custom_keys.head', 'env_cfg.mp_cfg', 'default_hooks.checkpoint'])
def test_a_section_that_is_no_dict_is_named(key, value):
    cfg = changed('mixed', {key: value})
    with pytest.raises(ValueError, match=re.escape(key)):
        check_config(cfg)


@pytest.mark.parametrize('changes', [
    {'my_epochs': 3, 'mine': dict(type='whatever'), 'optimizers_of_mine': None},  # variables
    {'optim_wrapper.clip_grad.max_norm': float('inf')},  # which only logs the norm
    {'optim_wrapper': dict(clip_grad=None)},
    {'param_scheduler': None},
    {'param_scheduler': [dict(type='LinearLR', start_factor=0.1, end=5),
                         dict(type='CosineAnnealingLR', begin=5, T_max=75)]},
    {'default_hooks.synops': dict(type='SynOpsHook', depth=2)},
    {'default_hooks.timer': None},
    {'model.losses.loss_bkd.loss_weight': dict(points=[(0, 0.1), (1, 0.0)], _delete_=True)},
    {'model.losses.loss_wsld': None},
    {'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None},
    {'val_evaluator': [dict(type='mmpretrain.Accuracy'), dict(type='mmpretrain.SingleLabelMetric')]},
    {'val_evaluator': dict(metrics=[dict(type='mmpretrain.Accuracy', topk=(1, 5))], _delete_=True)},
    {'train_cfg': dict(by_epoch=False, max_iters=10, val_interval=5, _delete_=True)},
    {'randomness.seed': None},
    {'custom_hooks': [dict(type='EMAHook', momentum=2e-4, priority='NORMAL')]},
    {'optim_wrapper': dict(type='AmpOptimWrapper', dtype='bfloat16')},
    {'optim_wrapper.paramwise_cfg': dict(custom_keys={'backbone.stem': dict(lr_mult=0.1, decay_mult=0.0)})},
], ids=lambda changes: ', '.join(changes))
def test_what_is_right_passes(changes):
    check_config(changed('mixed', changes))


def test_a_name_is_near_or_not():
    assert near_miss('optim_wraper', ['model', 'optim_wrapper']) == 'optim_wrapper'
    assert near_miss('resize', ['resume', 'model']) is None  # a variable of a shipped config
    assert near_miss('model', ['model', 'modle']) is None
    assert near_miss('lr', ['la', 'T']) is None
    assert [distance('abcd', other) for other in ('abcd', 'abdc', 'acd', 'abxcd', 'bacdx')] == [0, 1, 1, 1, 2]


def test_options_of_the_command_line_find_their_place():
    cfg = copy.deepcopy(demo('mixed'))
    merge_options(cfg, {'train_dataloader.dataset.pipeline.0.padding': 2, 'optim_wrapper.optimizer.lr': 0.5})
    assert cfg.train_dataloader.dataset.pipeline[0].padding == 2 and cfg.optim_wrapper.optimizer.lr == 0.5
    for options, words in (
            ({'optim_wraper.optimizer.lr': 5}, ['optim_wraper', "Did you mean 'optim_wrapper'?"]),
            ({'custom_hooks.interval': 5}, ['.interval=5', 'custom_hooks is a list of 3', 'custom_hooks.0']),
            ({'train_cfg.max_epochs.x': 5}, ['train_cfg.max_epochs=80 has nothing below it']),
            ({'custom_hooks.7.type': 'x'}, ['custom_hooks is a list of 3'])):
        with pytest.raises(ValueError) as error:
            merge_options(cfg, options)
        assert all(word in str(error.value) for word in words), str(error.value)


def test_a_network_is_checked_where_it_is_built_alone():
    cfg = changed('mixed', {'model.student.backbone.conect': 'ADD'})
    with pytest.raises(ValueError, match="model.student.backbone.conect is not .* Did you mean 'connect'?"):
        init_model(cfg)
    # Its teacher and losses are not needed there, nor is training.
    assert init_model(changed('mixed', {'model.losses.loss_bkd.blur': 1, 'modle': {}, 'optim_wrapper.lr': 3}))


def test_components_of_ones_own_are_imported_before(tmp_path, monkeypatch):
    (tmp_path / 'my_checked_hooks.py').write_text(
        'from mmengine.hooks import Hook\nfrom bkdsnn.registry import HOOKS\n\n\n@HOOKS.register_module()\n'
        'class MyCheckedHook(Hook):\n    def __init__(self, often: int, **kwargs):\n'
        '        self.often, self.others = often, kwargs\n')
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = ['{DEMO / 'plain.py'}']\ncustom_imports = dict(imports=['my_checked_hooks'])\n"
                    "custom_hooks = [dict(type='MyCheckedHook', often=3, another=4)]\n")
    cfg = read_config_file(path)
    check_config(cfg)
    for changes, words in (({'custom_hooks.0.oftn': 3}, "Did you mean 'often'?"),
                           ({'custom_hooks.0.often': '3'}, 'without quotes')):
        wrong = copy.deepcopy(cfg)
        wrong.merge_from_dict(changes)
        with pytest.raises(ValueError, match=words):
            check_config(wrong)


def test_a_part_of_a_config_can_be_checked():
    check_config(Config.fromfile(REPOSITORY / 'configs/_base_/datasets/cifar10.py'))
    check_config(Config(dict(model=dict(demo('plain').model))))


@pytest.mark.parametrize('arguments', [['--jobs', '0'], ['--seeds', '0'], ['--jobs', '-1']])
def test_no_runs_at_a_time_are_refused_and_not_waited_for(arguments):
    done = run_tool('tools/train_seeds.py', DEMO / 'plain.py', *arguments)
    assert done.returncode == 2 and f"argument {arguments[0]}: '{arguments[1]}' is no whole number" in done.stderr
