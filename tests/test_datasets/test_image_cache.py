"""Image folders with a cache: the same samples as without, whatever happens to files, entries and the disk."""
import pickle
import runpy
import shutil
import sys
from collections import namedtuple

import cv2
import generated_data
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bkdsnn.config.checks import check_config
from bkdsnn.datasets import ImageFolder, cached_pipeline, sample_cache
from bkdsnn.registry import TRANSFORMS
from helpers import REPOSITORY, logged_by

LOAD = dict(type='mmpretrain.LoadImageFromFile')
EDGE = dict(type='mmpretrain.ResizeEdge', scale=32, edge='short', backend='pillow')
FLIP, PACK = dict(type='mmpretrain.RandomFlip', prob=0.5), dict(type='mmpretrain.PackInputs')
Usage = namedtuple('Usage', 'total used free')


@pytest.fixture
def root(tmp_path):
    generated_data.write_class_folders(tmp_path / 'images', size=(60, 45))
    return tmp_path / 'images'


@pytest.fixture
def told(monkeypatch):
    return logged_by(monkeypatch, cached_pipeline, sample_cache)


def folder(root, pipeline=(LOAD, EDGE, FLIP, PACK), cache_dir='cache', **options):
    return ImageFolder(str(root), 'train', pipeline=list(pipeline), cache_dir=cache_dir, **options)


def samples(dataset, seed=0):
    np.random.seed(seed)
    return [dataset[i] for i in range(len(dataset))]


def assert_same(ours, want):
    assert len(ours) == len(want)
    for a, b in zip(ours, want):
        assert torch.equal(a['inputs'], b['inputs'])
        assert a['data_samples'].to_dict().keys() == b['data_samples'].to_dict().keys()
        for key, value in b['data_samples'].metainfo.items():
            got = a['data_samples'].metainfo[key]
            assert got == value and type(got) is type(value), key


@pytest.mark.parametrize('pipeline, cached', [
    ([LOAD, FLIP, PACK], 1), ([LOAD, EDGE, dict(type='mmpretrain.CenterCrop', crop_size=30), FLIP, PACK], 3),
    ([dict(LOAD, to_float32=True), dict(type='mmpretrain.Pad', size=(70, 70)), FLIP, PACK], 2),
    ([LOAD, dict(type='mmpretrain.Resize', scale=(40, 30), keep_ratio=True), PACK], 2),
    ([dict(LOAD, color_type='grayscale'), PACK], 1),
    ([LOAD, dict(type='bkdsnn.CentralSquare', scale=20), PACK], 2)])
def test_samples_are_those_without_a_cache_and_augmentation_stays_random(root, pipeline, cached, monkeypatch):
    want = samples(folder(root, pipeline, cache_dir=None))
    first = folder(root, pipeline)
    assert first.cached_steps == cached
    assert_same(samples(first), want)
    monkeypatch.setattr(TRANSFORMS.get('mmpretrain.LoadImageFromFile'), 'transform', None)  # files are no longer read
    again = folder(root, pipeline)
    assert_same(samples(again), want)
    assert again.cache.size()[0] == 12 and str(again.cache.folder) in repr(again)
    if FLIP in pipeline:
        assert any(not torch.equal(a['inputs'], b['inputs']) for a, b in zip(samples(again, seed=1), want))


def test_a_cache_is_filled_without_drawing(root):
    """So that a run whose cache is there and one whose cache is not see the same."""
    np.random.seed(3)
    samples_before = np.random.get_state()[1].copy()
    dataset = folder(root)
    dataset.fill(0, rebuild=True)
    assert (np.random.get_state()[1] == samples_before).all()


def test_what_a_sample_is_may_be_changed_in_place(root):
    dataset = folder(root, [LOAD])
    dataset[0]['img'][:] = 0
    assert dataset[0]['img'].any() and dataset[0]['img'].flags.writeable


def test_a_changed_image_is_decoded_anew(root):
    dataset = folder(root, [LOAD])
    path = dataset[0]['img_path']
    assert cv2.imwrite(path, np.full((5, 6, 3), 200, np.uint8))
    assert dataset[0]['img'].shape == (5, 6, 3) and dataset[0]['ori_shape'] == (5, 6)


def test_a_damaged_entry_is_told_and_made_anew(root, told):
    dataset = folder(root, [LOAD])
    want = dataset[0]['img']
    entry = dataset.cache.folder / 'train__apple__IMG_0000.jpg.sample'
    content = bytearray(entry.read_bytes())
    content[-100] ^= 1
    entry.write_bytes(content)
    told.clear()
    for _ in range(2):
        np.testing.assert_array_equal(dataset[0]['img'], want)
    assert len(told) == 1 and f'{entry} is damaged' in told[0]


def test_other_transforms_and_decoders_have_their_own_entries(root, monkeypatch):
    folders = {folder(root, pipeline).cache.folder for pipeline in (
        [LOAD], [dict(LOAD, color_type='grayscale')], [dict(LOAD, to_float32=True)],
        [dict(LOAD, imdecode_backend='pillow')], [LOAD, EDGE], [LOAD, dict(EDGE, scale=33)],
        [LOAD, dict(EDGE, backend='cv2')], [LOAD, dict(EDGE, interpolation='bicubic')],
        [LOAD, dict(type='bkdsnn.CentralSquare', scale=20)],
        [LOAD, dict(type='bkdsnn.CentralSquare', scale=20, backend='pillow')])}
    monkeypatch.setattr(cv2, '__version__', '0')
    assert len(folders | {folder(root, [LOAD]).cache.folder}) == 11


@pytest.mark.parametrize('pipeline', [[], [PACK], [FLIP, LOAD], [dict(type='RandomChoice', transforms=[[LOAD]])]])
def test_a_cache_of_what_is_random_is_an_error(root, pipeline):
    with pytest.raises(ValueError, match='must start with transforms that are known not to be random.*cache_dir=None'):
        folder(root, pipeline)
    assert not (root / 'cache').exists()


def test_a_transform_of_ones_own_is_cached_if_it_says_that_it_is_not_random(root):

    class Darker(BaseTransform):

        def transform(self, results):
            return dict(results, img=results['img'] // 2)

        def __repr__(self):
            return 'Darker()'

    class Repeatable(Darker):
        random = False

    assert folder(root, [LOAD, Darker()]).cached_steps == 1
    assert folder(root, [LOAD, Repeatable()]).cached_steps == 2
    Repeatable.__repr__ = object.__repr__
    with pytest.raises(ValueError, match='does not name the arguments'):
        folder(root, [LOAD, Repeatable()])


def test_what_a_cache_cannot_keep_is_an_error(root):

    class Notes(BaseTransform):
        random = False

        def transform(self, results):
            return dict(results, notes=['a text'])

        def __repr__(self):
            return 'Notes()'

    with pytest.raises(TypeError, match="set 'notes' to \\['a text'\\]"):
        folder(root, [LOAD, Notes()])


def test_dropped_images_are_dropped_with_a_cache_too(root):
    (root / 'train' / 'apple' / 'IMG_0000.jpg').write_bytes(b'no image')
    dataset = folder(root, [dict(LOAD, ignore_empty=True, imdecode_backend='pillow')])
    assert dataset.prepare_data(0) is None and dataset.prepare_data(1) is not None


def test_a_set_too_large_for_the_disk_is_an_error_before_training(root, monkeypatch):
    monkeypatch.setattr(cached_pipeline, 'PROBED', 3)
    size = 60 * 45 * 3
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 8 * size))
    with pytest.raises(ValueError, match=r'cache of 12 images needs about 0\.0 GB more in .*ResizeEdge.*cache_dir'):
        folder(root, [LOAD])
    folder(root, [LOAD, EDGE])  # smaller images fit
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 10 * size))
    samples(folder(root, [LOAD]))
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 0))
    folder(root, [LOAD])  # everything is there


def test_another_split_in_the_same_folder_makes_no_room_for_this_one(root, monkeypatch):
    monkeypatch.setattr(cached_pipeline, 'PROBED', 3)
    samples(folder(root, [LOAD]))
    (root / 'val').rename(root / 'val_before')
    shutil.copytree(root / 'train', root / 'val')
    for number, image in enumerate(sorted((root / 'val').rglob('*.jpg'))):
        image.rename(image.with_name(f'new_{number}.jpg'))
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: Usage(0, 0, 8 * 60 * 45 * 3))
    with pytest.raises(ValueError, match='cache of 12 images needs about'):
        ImageFolder(str(root), 'val', pipeline=[LOAD], cache_dir='cache')


def test_a_full_disk_is_an_error_that_says_so(root, monkeypatch):
    dataset = folder(root, [LOAD], lazy_init=True)

    def full(file, *arguments):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(sample_cache, '_dump', full)
    with pytest.raises(OSError, match='(?s)cannot be written.*No space left.*cache_dir'):
        dataset[0]
    assert list(dataset.cache.folder.iterdir()) == []


def test_workers_of_several_loaders_fill_one_cache(root):
    want = samples(folder(root, [LOAD, EDGE, PACK], cache_dir=None))
    datasets = [folder(root, [LOAD, EDGE, PACK], lazy_init=True) for _ in range(2)]
    loaders = [iter(DataLoader(dataset, batch_size=None, num_workers=2)) for dataset in datasets]
    assert_same([pair[0] for pair in zip(*loaders)], want)
    assert datasets[0].cache.size()[0] == 12 == len(list(datasets[0].cache.folder.iterdir()))


def test_a_data_set_with_a_cache_can_be_pickled(root):
    """As for workers that are spawned."""
    dataset = folder(root)
    assert_same(samples(pickle.loads(pickle.dumps(dataset))), samples(dataset))


def test_all_of_the_papers_pipeline_that_is_not_random_is_cached(root, monkeypatch):
    """Reading and resizing of ``image_folder_224``; training reads nothing once it is there."""
    monkeypatch.setenv('DATA_ROOT', str(root))
    cfg = Config.fromfile(REPOSITORY / 'configs/_base_/datasets/image_folder_224.py')
    for split, steps in (('train', 2), ('val', 3)):
        loader = dict(cfg[f'{split}_dataloader'], num_workers=0, batch_size=4)
        loader['dataset'].cache_dir = str(root / 'cache')
        check_config(cfg)
        built = Runner.build_dataloader(loader)
        assert built.dataset.cached_steps == steps
        assert next(iter(built))['inputs'].shape == (4, 3, 224, 224)


# ---- filling it ahead ----

def run(monkeypatch, *arguments):
    """The tool, in this process."""
    monkeypatch.setattr(sys, 'argv', ['cache_samples.py', *map(str, arguments)])
    runpy.run_path(str(REPOSITORY / 'tools/dataset_converters/cache_samples.py'), run_name='__main__')


def test_caches_of_images_are_filled_ahead(root, monkeypatch, capsys):
    monkeypatch.setenv('DATA_ROOT', str(root))
    run(monkeypatch, REPOSITORY / 'configs/_base_/datasets/image_folder_224.py', '--cache-dir', 'cache')
    printed = capsys.readouterr().out
    assert 'train: 12 samples' in printed and 'val: 6 samples' in printed
    entries = [path.name for path in (root / 'cache').rglob('*.sample')]
    assert len(entries) == 18 and 'val__cherry__IMG_0005.jpg.sample' in entries


def test_a_data_set_that_has_no_cache_is_named(monkeypatch):
    with pytest.raises(SystemExit, match='train_dataloader.dataset.cache_dir is not an argument of Digits'):
        run(monkeypatch, REPOSITORY / 'configs/demo/plain.py', '--cache-dir', 'cache')
