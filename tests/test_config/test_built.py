"""What only the built data and networks say, before the first step."""
import random
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import TRANSFORMS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.config.checks import check_built
from bkdsnn.models import Distiller
from bkdsnn.registry import MODELS
from bkdsnn.utils.shape_errors import misfit
from helpers import REPOSITORY, demo_config, run_tool, tiny_cnn, tiny_student

PACK = dict(type='mmpretrain.PackInputs')
FRAMES = [dict(type='EventsToFrames', time_steps=4), dict(type='PackEvents')]
CUSTOM = {'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(bakbone=dict(lr_mult=0.1)))}


@TRANSFORMS.register_module(force=True)
class Broken:
    """A transform with a fault of its own."""

    def __call__(self, results):
        return results['img'][0][0][0][0]


def built(name, **changes):
    """What :func:`check_built` looks at of a runner, with a small network and few samples."""
    cfg = demo_config(name, 'nowhere', **changes)
    model = MODELS.build({**cfg.model.get('student', cfg.model), 'data_preprocessor': cfg.data_preprocessor})
    if 'student' in cfg.model:
        model = nn.ModuleDict(dict(student=model))
        model.data_preprocessor = model.student.data_preprocessor
    loops = {f'{split}_loop': SimpleNamespace(dataloader=Runner.build_dataloader(cfg[f'{split}_dataloader']))
             for split in ('train', 'val')}
    return SimpleNamespace(cfg=cfg, model=model, **loops)


# What is wrong: (demo config, changes, what the message has to have).
BUILT = {
    'fewer samples than a batch': (
        'plain', {'train_dataloader.drop_last': True, 'train_dataloader.batch_size': 200},
        ['train_dataloader has no step: 100 samples', 'batch_size=200', 'train_dataloader.drop_last=True']),
    'pipeline that packs nothing': (
        'plain', {'train_dataloader.dataset.pipeline': [dict(type='mmpretrain.RandomCrop', crop_size=8)]},
        ['train_dataloader.dataset.pipeline gives', 'mmpretrain.PackInputs']),
    'transform that fails': ('plain', {'train_dataloader.dataset.pipeline': [dict(type='mmpretrain.Broken'), PACK]},
                             ['train_dataloader.dataset.pipeline cannot make the first sample', 'invalid index']),
    'classes of a data set': (
        'plain', {'train_dataloader.dataset.metainfo': dict(classes=('a', 'b'))},
        ['model.head.num_classes=10', 'train_dataloader.dataset has 2 classes']),
    'label beyond the classes': (
        'mixed', {'model.student.head.num_classes': 1, 'train_dataloader.dataset.metainfo': dict(classes=('a', )),
                  'train_dataloader.dataset.indices': [3], 'val_dataloader': None},
        ['model.student.head.num_classes=1', 'has the label 7']),
    'channels of a sample': (
        'plain', {'model.backbone.in_channels': 3},
        ['model.backbone.in_channels=3', 'a sample of train_dataloader has 1 channels, shape (1, 8, 8)']),
    'one view for two': (
        'events_mixed', {'train_dataloader.dataset.pipeline': FRAMES},
        ['train_dataloader.dataset.pipeline gives one view (4, 2, 10, 10)', 'val_dataloader.dataset.pipeline',
         '(16, 2, 10, 10) for the teacher']),
    'other time steps': (
        'events_plain', {'train_dataloader.dataset.pipeline.0.time_steps': 5},
        ['train_dataloader.dataset.pipeline gives one view (5, 2, 10, 10)', 'one view (4, 2, 10, 10)']),
    'other shape than is said': (
        'mixed', {'model.input_shape': (1, 16, 16)},
        ['model.input_shape is one view (1, 16, 16)', 'train_dataloader.dataset.pipeline gives one view (1, 8, 8)']),
    'parameters that are not there': ('plain', CUSTOM, ["no parameter has 'bakbone'", "Did you mean 'backbone'?"]),
}


@cache
def message_of(name):
    """What is said of data or a network that does not fit."""
    config, changes, _ = BUILT[name]
    splits = ['train'] if changes.get('val_dataloader', '') is None else ['train', 'val']
    changes = {key: value for key, value in changes.items() if value is not None}
    with pytest.raises(ValueError) as error:
        check_built(built(config, **changes), splits)
    return str(error.value)


@pytest.mark.parametrize('name', BUILT)
def test_what_does_not_fit_is_named_before_training(name):
    message = message_of(name)
    assert all(word in message for word in BUILT[name][2]), message


@pytest.mark.parametrize('name', ['plain', 'mixed', 'events_mixed', 'events_plain'])
def test_what_fits_passes_and_draws_no_random_numbers(name):
    runner = built(name)
    draws = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    check_built(runner, ['train', 'val'])
    assert draws == [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def test_a_data_set_without_samples_is_named():
    runner = built('plain')
    runner.val_loop.dataloader = DataLoader(TensorDataset(torch.zeros(0)))
    with pytest.raises(ValueError, match='val_dataloader.dataset has no samples'):
        check_built(runner, ['val'])


def test_a_run_without_a_step_is_no_run(tmp_path):
    """With a schedule by epochs it would end well, with two checkpoints."""
    demo_config('plain', tmp_path / 'run', **{
        'train_dataloader.drop_last': True, 'train_dataloader.batch_size': 200,
        'param_scheduler.convert_to_iter_based': False}).dump(str(tmp_path / 'plain.py'))
    done = run_tool(REPOSITORY / 'tools/train.py', tmp_path / 'plain.py', cwd=tmp_path)
    assert done.returncode == 1 and 'Error: train_dataloader has no step' in done.stderr
    assert 'Traceback' not in done.stderr and not list(tmp_path.rglob('*.pth'))


def test_head_that_does_not_fit_its_backbone_is_named_when_it_is_built():
    with pytest.raises(ValueError, match=r'head.in_channels=5, but the backbone \(SEWResNet\) ends with 8 channels'):
        MODELS.build(dict(tiny_student(), head=dict(type='SpikingLinearHead', num_classes=10, in_channels=5)))


@pytest.mark.parametrize('input_shape, words', [
    ((3, 8, 8), ['model.input_shape=(3, 8, 8)', 'student.backbone.stem', 'model.student.backbone.in_channels']),
    (dict(student=(1, 8, 8), teacher=(3, 8, 8)), ['stage1.0, a Conv2d', '(1, 3, 8, 8)'])])
def test_a_shape_that_does_not_fit_is_named_when_a_distiller_is_built(input_shape, words):
    with pytest.raises(ValueError) as error:
        Distiller(student=tiny_student(), teacher=dict(type='FrozenTeacher', model=tiny_cnn()), input_shape=input_shape,
                  losses=dict(loss_kd=dict(type='LogitsKDLoss', teacher='fc', tau=1.0)))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_errors_about_shapes_name_the_module_and_others_keep_their_trace():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(10, 2))
    with pytest.raises(SystemExit, match=r'Error: 2, a Linear\(in_features=10.* does not take \(2, 64\)'):
        with fail_clearly():
            network(torch.zeros(2, 1, 6, 6))
    with pytest.raises(RuntimeError, match='of ours'), fail_clearly():
        raise RuntimeError('a fault of ours')
    assert misfit(RuntimeError('size mismatch')) is None  # of no module


def test_assertions_of_libraries_are_one_line():
    with pytest.raises(SystemExit, match=r"Error: AssertionError at 'assert crop_size > 0'"), fail_clearly():
        TRANSFORMS.build(dict(type='mmpretrain.RandomCrop', crop_size=-1))
    with pytest.raises(SystemExit, match='LabelSmoothLoss'), fail_clearly():
        MODELS.build(Config(dict(it=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=2))).it)
