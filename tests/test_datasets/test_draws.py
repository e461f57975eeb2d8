"""Draws of data that follow from the seed, the epoch and the sample alone."""
import random

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from mmengine.dataset.dataset_wrapper import RepeatDataset
from mmpretrain.models import RandomBatchAugment
from torch.utils.data import DataLoader

from bkdsnn.datasets import Digits
from bkdsnn.datasets.draws import SeededAugment, SeededSamples, check_draws, digest_of
from bkdsnn.engine import EpochSeedHook
from bkdsnn.registry import TRANSFORMS

CROP, PACK = dict(type='mmpretrain.RandomCrop', crop_size=8, padding=2), dict(type='mmpretrain.PackInputs')


def data(*steps):
    return Digits('train', 2, pipeline=[*steps, PACK])


class Noise(BaseTransform):
    """Adds noise from a generator that is seeded once."""

    def __init__(self, kept):
        self.generator = np.random.default_rng(0) if kept else None
        self.draw = (self.generator or np.random.default_rng(0)).normal

    def transform(self, results):
        return dict(results, img=results['img'] + self.draw())


def test_samples_are_the_same_in_any_order_in_any_worker_and_differ_by_epoch():
    samples = SeededSamples.of(data(CROP), 3)
    order = list(range(20))
    want = [digest_of(sample) for sample in samples(order)]
    assert len(set(want)) > 15 and [digest_of(sample) for sample in samples(order[::-1])] == want[::-1]
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    for workers in (0, 1):
        loader = DataLoader(samples.dataset, 5, num_workers=workers, collate_fn=list)
        assert [digest_of(sample) for batch in loader for sample in batch] == want
    assert np.random.get_state()[1].tolist() == state[1] and random.getstate() == state[2]
    samples.epoch = 1
    assert [digest_of(sample) for sample in samples(order)] != want
    samples.epoch = 0
    assert [digest_of(sample) for sample in samples(order)] == want
    samples.seed = 4
    assert [digest_of(sample) for sample in samples(order)] != want


def test_copies_of_a_sample_in_one_epoch_are_drawn_apart():
    samples = SeededSamples.of(RepeatDataset(data(CROP), 2), 0)
    first, second = samples([0, 20])
    assert not torch.equal(first['inputs'], second['inputs'])


def test_a_batch_is_mixed_by_its_place_and_other_draws_do_not_notice():
    class Preprocessor:
        batch_augments = RandomBatchAugment([dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])

    images, scores = torch.randn(6, 1, 8, 8), torch.eye(6)
    mixed = []
    for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)):
        SeededAugment.put_into(Preprocessor, 5, place)
        torch.manual_seed(1)
        mixed.append(digest_of(Preprocessor.batch_augments(images.clone(), scores.clone())))
        assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(1)))
    assert mixed[0] == mixed[-1] and len(set(mixed)) == 4
    SeededAugment.put_into(torch.nn.Module(), 5, (0, 0, 0))  # which mixes nothing


@pytest.mark.parametrize('kept, reason', [(True, 'keeps a generator of random numbers'), (False, 'two draws of one')])
def test_a_transform_that_does_not_follow_the_seed_is_refused_by_name(kept, reason):
    dataset = data(CROP)
    dataset.pipeline.transforms.insert(1, Noise(kept))
    with pytest.raises(ValueError, match=f'Noise in train_dataloader.dataset.pipeline does not follow .*{reason}'):
        check_draws(SeededSamples.of(dataset, 0))
    assert len(dataset.pipeline.transforms) == 3


def test_the_digest_of_a_data_set_tells_what_its_samples_are():
    digests = [check_draws(SeededSamples.of(dataset, 0)) for dataset in (
        data(CROP), data(CROP), data(), Digits('train', 3, pipeline=[CROP, PACK]),
        Digits('val', 2, pipeline=[CROP, PACK]))]
    assert digests[0] == digests[1] and len(set(digests)) == 4


@pytest.mark.parametrize('epochs', [0, -1, 1.5, True])
def test_impossible_numbers_of_epochs_are_named(epochs):
    with pytest.raises(ValueError, match=rf'EpochSeedHook: augmentation_epochs={epochs} must be a whole number'):
        EpochSeedHook(augmentation_epochs=epochs)


def test_events_of_two_views_repeat_too():
    from bkdsnn.datasets import DigitsDVS
    frames = [dict(type='EventsToFrames', time_steps=steps) for steps in (2, 4)]
    dataset = DigitsDVS('train', 1, pipeline=[
        dict(type='TwoViews', student=frames[0], teacher=frames[1]), dict(type='RandomFrameRoll', max_shift=2),
        dict(type='PackEvents')])
    samples = SeededSamples.of(dataset, 0)
    assert check_draws(samples) == check_draws(samples)
    once, again = (pseudo_collate(samples([3]))['inputs'] for _ in range(2))
    assert all(torch.equal(once[view][0], again[view][0]) for view in ('student', 'teacher'))
    assert TRANSFORMS.get('RandomFrameRoll').random
