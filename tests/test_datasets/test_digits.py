"""The embedded digits and their fixed split."""
import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bkdsnn.datasets import Digits
from bkdsnn.datasets.digits import SPLITS


def ids(split, **kwargs):
    return [item['digit_id'] for item in Digits(split=split, pipeline=[], **kwargs)]


def test_splits_are_disjoint_complete_and_stratified():
    splits = {name: ids(name) for name in ('train', 'val', 'test')}
    assert [len(s) for s in splits.values()] == [500, 400, 897]
    assert sorted(sum(splits.values(), [])) == list(range(1797))
    labels = load_digits().target
    assert np.bincount(labels[splits['train']]).tolist() == [50] * 10
    assert np.bincount(labels[splits['val']]).tolist() == [40] * 10


def test_split_file_is_the_published_one():
    assert hashlib.sha256(SPLITS.read_bytes()).hexdigest()[:16] == '7cca10b24dfcd0d1'


def test_images_are_the_scans():
    scans = load_digits()
    for item in list(Digits(split='val', pipeline=[]))[::50]:
        scan, img = scans.images[item['digit_id']], item['img']
        assert img.dtype == np.uint8 and img.shape == (8, 8, 1)
        np.testing.assert_array_equal(np.round(img[..., 0] / 255 * 16), scan)
        assert item['gt_label'] == scans.target[item['digit_id']]


@pytest.mark.parametrize('few', [1, 10, 30])
def test_few_labels_are_a_stratified_part_of_more(few):
    subset = Digits(split='train', labels_per_class=few, pipeline=[])
    assert np.bincount(subset.get_gt_labels()).tolist() == [few] * 10
    assert set(ids('train', labels_per_class=few)) < set(ids('train'))


@pytest.mark.parametrize('wrong', [dict(split='training'), dict(split='train', labels_per_class=51),
                                   dict(split='train', labels_per_class=0)])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f'{list(wrong)[-1]}='):
        Digits(**wrong)
