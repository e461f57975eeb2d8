"""A last batch of one sample that cannot be trained on is named before training, with the way out."""
import copy
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, default_collate
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader

from bkdsnn.config.checks.last_batch import check_last_batch
from bkdsnn.models.neurons import BaseNode
from bkdsnn.registry import MODELS
from helpers import tiny_student

NORM = r'the last batch of an epoch has 1 of 9 samples, the others train_dataloader.batch_size=4: model\.backbone\.' \
       r'.*, a BatchNorm2d, gets 1 value per channel\. Set train_dataloader\.drop_last=True, or another batch_size'


def network(size, T=1, **head):
    model = MODELS.build({**tiny_student(widths=(4, 8, 8, 8), T=T), 'data_preprocessor': dict(num_classes=10)})
    model.shape = (1, size, size)
    return model


def loader(model, samples=9, batch_size=4, sampler=DefaultSampler, **options):
    data = [dict(inputs=torch.full(model.shape, i + 1.0), data_samples=DataSample().set_gt_label(i % 10))
            for i in range(samples)]
    return DataLoader(data, batch_size, sampler=sampler(data, shuffle=False), collate_fn=default_collate, **options)


def check(model, **options):
    check_last_batch(loader(model, **options), model, 'train_dataloader')


def train_step(model, batch):
    model.train()
    model(**model.data_preprocessor(batch, True), mode='loss')


def test_maps_of_one_pixel_under_a_batch_norm_are_named():
    model = network(8)
    with pytest.raises(ValueError, match=NORM):
        check(model)
    *_, last = loader(model)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        train_step(copy.deepcopy(model), last)  # what it would have ended in


def test_they_are_named_where_the_neurons_pass_has_the_norm():
    model = network(8)
    for module in model.modules():
        if isinstance(module, BaseNode):
            module.backend = 'compile'
    with pytest.raises(ValueError, match=NORM.replace('BatchNorm2d', 'IFNode')):
        check(model)


@pytest.mark.parametrize('options', [dict(drop_last=True), dict(samples=10), dict(samples=8), dict(batch_size=3),
                                     dict(sampler=InfiniteSampler)])
def test_other_batches_pass(options):
    check(network(8), **options)


@pytest.mark.parametrize('size, T', [(8, 2), (64, 1)])
def test_more_steps_or_pixels_pass_as_they_train(size, T):
    model = network(size, T)
    check(model)
    *_, last = loader(model)
    train_step(model, last)


def test_a_batch_size_of_one_is_named():
    with pytest.raises(ValueError, match=r'train_dataloader\.batch_size=1: .* Set a larger batch_size'):
        check(network(8), batch_size=1)


def test_a_loss_that_is_none_of_one_sample_is_named():
    model = network(64)
    model.head.loss_module = None
    model.head.loss = lambda *_, **__: dict(loss_kd=torch.tensor(float('nan')), accuracy=torch.tensor(1.0))
    with pytest.raises(ValueError, match='loss_kd of one sample is no finite number'):
        check(model)


def test_nothing_is_changed_by_looking():
    model = network(64).eval()
    data = loader(model)  # whose sampler draws its seed
    before, draws = copy.deepcopy(model.state_dict()), (torch.get_rng_state(), np.random.get_state(), random.getstate())
    check_last_batch(data, model, 'train_dataloader')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and not model.training
    assert torch.equal(draws[0], torch.get_rng_state()) and draws[2] == random.getstate()
    np.testing.assert_equal(np.random.get_state(), draws[1])


def test_norms_over_processes_have_more_values(monkeypatch):
    monkeypatch.setattr('bkdsnn.config.checks.last_batch.get_world_size', lambda: 2)
    model = network(8)
    with pytest.raises(ValueError, match='gets 1 value per channel'):
        check(model, samples=9)
    model.more = nn.SyncBatchNorm(3)
    check(model)
