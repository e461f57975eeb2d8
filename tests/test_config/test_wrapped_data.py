"""Tools see data sets in wrappers as training does."""
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import Subset

from bkdsnn import SpikingInferencer
from bkdsnn.config.data import datasets_in, inner_sample, without
from bkdsnn.datasets.pipelines import test_steps as steps_of_tests
from bkdsnn.evaluation import input_shape_of
from bkdsnn.evaluation.untrained import training_shape
from bkdsnn.registry import DATASETS
from bkdsnn.report.bench import same_samples
from bkdsnn.visualization.browse import sample_steps
from bkdsnn.visualization.samples import take_sample
from helpers import DEMO, REPOSITORY

WRAPPERS = {
    'RepeatDataset': lambda data: dict(type='RepeatDataset', times=2, dataset=data),
    'ClassBalancedDataset': lambda data: dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=data),
    'ConcatDataset': lambda data: dict(type='ConcatDataset', datasets=[data, dict(data, labels_per_class=3)]),
    'KFoldDataset': lambda data: dict(type='mmpretrain.KFoldDataset', fold=1, num_splits=3, seed=0, dataset=data),
    'two of them': lambda data: dict(type='RepeatDataset', times=2, dataset=dict(
        type='mmpretrain.KFoldDataset', num_splits=2, test_mode=True, dataset=data))}
CONFIGS = {'images': 'mixed', 'events': 'events_mixed'}


def wrapped(wrapper, kind='images', **changes):
    """A demo's config with its data sets in a wrapper, of which the test data are those of the validation."""
    cfg = Config.fromfile(DEMO / f'{CONFIGS[kind]}.py')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        inner = dict(cfg[name].dataset.to_dict(), labels_per_class=2, **changes)
        cfg[name].dataset = WRAPPERS[wrapper](inner)
    return Config(cfg.to_dict())


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('bkdsnn')


@pytest.mark.parametrize('kind', CONFIGS)
@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_browsing_shows_the_samples_of_training(wrapper, kind):
    dataset = DATASETS.build(wrapped(wrapper, kind).val_dataloader.dataset)
    for idx in (0, len(dataset) // 2, len(dataset) - 1):
        last, want = sample_steps(dataset, idx)[-1], dataset[idx]
        if kind == 'images':
            np.testing.assert_array_equal(last.image.reshape(8, 8), want['inputs'][0].numpy())
        else:
            assert all(np.array_equal(last.frames[view], want['inputs'][view].numpy()) for view in last.frames)
        inner, inner_idx = inner_sample(dataset, idx)
        assert inner.get_data_info(inner_idx)['gt_label'] == int(want['data_samples'].gt_label)
        assert take_sample(dataset, idx).label == int(want['data_samples'].gt_label)


def test_a_subset_of_pytorchs_is_looked_into():
    dataset = DATASETS.build(wrapped('ConcatDataset').val_dataloader.dataset)
    inner, idx = inner_sample(Subset(dataset, [21, 3]), 0)
    assert inner is dataset.datasets[1] and idx == 1
    assert inner_sample(inner, 5) == (inner, 5)


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_planner_and_inferencer_see_through_wrappers(wrapper):
    cfg, plain = wrapped(wrapper, 'events'), Config.fromfile(DEMO / 'events_mixed.py')
    for config in (cfg, plain):  # then the pipeline says how many frames there are
        config.model.pop('input_shape')
        config.views_shape = (9, 2, 20, 20)
    assert training_shape(cfg) == training_shape(plain) and input_shape_of(cfg) == input_shape_of(plain)
    inferencers = [SpikingInferencer(config, False, sensor_size=(20, 20)) for config in (cfg, plain)]
    assert inferencers[0].time_steps == inferencers[1].time_steps == 4
    assert len(SpikingInferencer(wrapped(wrapper), False).classes) == 10
    assert steps_of_tests(cfg) == steps_of_tests(plain)


def test_pipelines_that_differ_say_nothing_about_other_inputs():
    cfg = wrapped('ConcatDataset')
    cfg.test_dataloader.dataset.datasets[1].pipeline.insert(0, dict(type='mmpretrain.LoadImageFromFile'))
    assert len(steps_of_tests(cfg)) == 1  # what loads a file makes no difference
    cfg.test_dataloader.dataset.datasets[1].pipeline.insert(0, dict(type='mmpretrain.ResizeEdge', scale=8))
    with pytest.raises(ValueError, match='data sets of test_dataloader have different pipelines'):
        steps_of_tests(cfg)


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_data_sets_are_the_same_whatever_their_pipelines_and_caches(wrapper):
    cfg = wrapped(wrapper, cache_dir='somewhere')
    for inner in datasets_in(cfg.test_dataloader.dataset):
        inner.update(pipeline=[], cache_dir=None)
    assert same_samples(cfg, wrapped(wrapper, cache_dir='somewhere'))
    assert not same_samples(cfg, wrapped(wrapper, seed=5))
    stripped = without(cfg.test_dataloader.dataset, 'cache_dir')
    assert 'cache_dir' not in str(stripped) and cfg.test_dataloader.dataset.type == stripped['type']


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_caches_of_wrapped_data_are_filled(wrapper, tmp_path, monkeypatch, capsys):
    cfg = wrapped(wrapper, 'events')
    cfg.train_dataloader = cfg.test_dataloader = cfg.train_cfg = cfg.test_cfg = cfg.test_evaluator = None
    cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.dump(str(tmp_path / 'config.py'))
    monkeypatch.setattr(sys, 'argv', ['cache_samples.py', str(tmp_path / 'config.py'), '--cache-dir',
                                      str(tmp_path / 'cache'), '--workers', '0'])
    runpy.run_path(str(REPOSITORY / 'tools/dataset_converters/cache_samples.py'), run_name='__main__')
    number = 30 if wrapper == 'ConcatDataset' else 20
    assert len(list((tmp_path / 'cache').rglob('*.sample'))) == number and 'val: 20 samples' in capsys.readouterr().out
    for inner in datasets_in(cfg.val_dataloader.dataset):
        inner.cache_dir = str(tmp_path / 'cache')
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    inner = inner_sample(dataset, 0)[0]
    monkeypatch.setattr(type(inner), 'read_events', None)  # recordings are no longer read
    assert all(torch.is_tensor(dataset[i]['inputs']['student']) for i in range(len(dataset)))
