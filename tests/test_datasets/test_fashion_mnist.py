"""Fashion-MNIST and MNIST from files in their format, and before the camera."""
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from generated_data import idx_bytes, write_fashion_mnist

from bkdsnn.datasets import MNIST, MNISTDVS, FashionMNIST, FashionMNISTDVS
from bkdsnn.registry import DATASETS

FRAMES = dict(type='EventsToFrames', time_steps=2)
SYSTEM = FashionMNIST.system_folder


@pytest.fixture(autouse=True)
def no_other_place(tmp_path, monkeypatch):
    """Neither the system's files nor the network."""
    monkeypatch.setattr(FashionMNIST, 'system_folder', str(tmp_path / 'system'))
    for cls in (MNIST, FashionMNIST):
        monkeypatch.setattr(cls, 'url_prefix', f'{(tmp_path / "server").as_uri()}/')


def ids(split, root, **options):
    return [info['image_id'] for info in FashionMNIST(root, split, **options)]


@pytest.mark.parametrize('cls', [FashionMNIST, MNIST])
@pytest.mark.parametrize('gzipped', [True, False])
def test_images_and_labels_are_those_of_the_files(cls, gzipped, tmp_path):
    written = write_fashion_mnist(tmp_path, gzipped=gzipped)
    for split, part in (('train', 'train'), ('val', 'train'), ('test', 't10k')):
        dataset = DATASETS.build(dict(type=cls.__name__, data_root=str(tmp_path), split=split, pipeline=[]))
        assert len(dataset) == dict(train=220, val=20, test=30)[split] and len(dataset.CLASSES) == 10
        for info in list(dataset)[::7]:
            np.testing.assert_array_equal(info['img'][..., 0], written[part][0][info['image_id']])
            assert info['gt_label'] == written[part][1][info['image_id']] and info['img'].shape == (28, 28, 1)


def test_every_twelfth_image_of_a_class_validates_and_few_labels_are_a_part_of_more(tmp_path):
    _, labels = write_fashion_mnist(tmp_path)['train']
    train, val = ids('train', tmp_path), ids('val', tmp_path)
    assert sorted(train + val) == list(range(240))
    for label in range(10):
        assert np.flatnonzero(labels == label)[11::12].tolist() == [i for i in val if labels[i] == label]
    few = ids('train', tmp_path, labels_per_class=5)
    assert set(few) < set(train) and np.bincount(labels[few]).tolist() == [5] * 10
    assert few == [i for i in train if i in few] and all(
        i in few for label in range(10) for i in [i for i in train if labels[i] == label][:5])


def test_the_systems_folder_is_the_second_place(tmp_path):
    first, second = tmp_path / 'data', tmp_path / 'system'
    there = write_fashion_mnist(second, seed=1)
    (first / 'x').mkdir(parents=True)
    assert (FashionMNIST(str(first), 'test')[0]['img'][..., 0] == there['t10k'][0][0]).all()
    own = write_fashion_mnist(first, seed=2)
    assert (FashionMNIST(str(first), 'test')[0]['img'][..., 0] == own['t10k'][0][0]).all()


def test_files_are_downloaded_once_and_checked(tmp_path, monkeypatch):
    server, root = tmp_path / 'server', tmp_path / 'data'
    write_fashion_mnist(server)
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in server.iterdir()}
    names = [name for name, _ in MNIST.test_list]
    monkeypatch.setattr(MNIST, 'test_list', [[name, sums[name]] for name in names])
    assert len(MNIST(str(root), 'test')) == 30
    (server / names[0]).unlink()
    assert len(MNIST(str(root), 'test')) == 30 and {path.name for path in root.glob('[!.]*')} == set(names)
    # Those of the training part have other sums than the published ones.
    with pytest.raises(ValueError, match='MD5'):
        MNIST(str(root), 'train')
    assert {path.name for path in root.glob('*')} - {path.name for path in root.glob('.*.lock')} == set(names)


@pytest.mark.parametrize('options, kind', [(dict(download=False), FileNotFoundError), ({}, OSError)])
@pytest.mark.parametrize('cls', [FashionMNIST, FashionMNISTDVS])
def test_missing_files_are_an_error_that_says_where_to_get_them(cls, options, kind, tmp_path):
    with pytest.raises(kind) as error:
        cls(data_root=str(tmp_path / 'data'), split='train', **options)
    for word in ('apt-get install dataset-fashion-mnist', 'train-images-idx3-ubyte.gz', str(tmp_path / 'data'),
                 f'{tmp_path}/server/'):
        assert word in str(error.value)
    lazy = cls(data_root=str(tmp_path / 'data'), split='train', lazy_init=True, **options)
    if options:  # otherwise it is there to be tried
        with pytest.raises(kind, match='download=False'):
            lazy.check_files()
    else:
        lazy.check_files()


DAMAGE = {
    'cut off': ('train-images-idx3-ubyte.gz', lambda content: content[:-50]),
    'changed': ('train-images-idx3-ubyte.gz', lambda content: content[:99] + b'\0\0\0' + content[102:]),
    'no gzip': ('train-labels-idx1-ubyte.gz', lambda content: b'<html>'),
    'fewer than it says': ('train-labels-idx1-ubyte.gz', lambda content: gzip.compress(gzip.decompress(content)[:-1])),
    'images as labels': ('train-labels-idx1-ubyte.gz',
                         lambda content: gzip.compress(idx_bytes(np.zeros((240, 2, 2), np.uint8)))),
    'fewer labels': ('train-labels-idx1-ubyte.gz', lambda content: gzip.compress(idx_bytes(np.zeros(9, np.uint8)))),
    'more classes': ('train-labels-idx1-ubyte.gz',
                     lambda content: gzip.compress(idx_bytes(np.full(240, 10, np.uint8)))),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_damaged_files_are_named(kind, tmp_path):
    write_fashion_mnist(tmp_path)
    name, damage = DAMAGE[kind]
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(ValueError, match=name):
        FashionMNIST(str(tmp_path), 'train')
    assert len(FashionMNIST(str(tmp_path), 'test')) == 30


@pytest.mark.parametrize('wrong', [dict(split='all'), dict(split='train', labels_per_class=23),
                                   dict(split='val', labels_per_class=0)])
@pytest.mark.parametrize('cls', [FashionMNIST, FashionMNISTDVS])
def test_bad_arguments_are_named(cls, wrong, tmp_path):
    write_fashion_mnist(tmp_path)
    with pytest.raises(ValueError, match=f'{list(wrong)[-1]}='):
        cls(data_root=str(tmp_path), **wrong)


def test_recordings_follow_from_image_camera_and_seed(tmp_path):
    written, options = write_fashion_mnist(tmp_path), dict(data_root=str(tmp_path), labels_per_class=1)
    dataset = FashionMNISTDVS(split='train', **options)
    assert dataset.metainfo['sensor_size'] == (34, 34, 2) and len(dataset) == 10
    events = dataset[3]['events']
    np.testing.assert_array_equal(events, FashionMNISTDVS(split='train', **options)[3]['events'])
    # Where an edge of the picture passes; noise is everywhere, and rare.
    image = written['train'][0][dataset.get_data_info(3)['image_id']]
    assert 500 < len(events) < 20000 and image.any()
    assert events['t'].max() <= 300_000 and set(np.unique(events['p'])) == {0, 1}
    assert len(MNISTDVS(split='train', seed=1, **options)[3]['events']) != len(events)
    assert len(FashionMNISTDVS(split='train', motion=dict(amplitude=2.0), **options)[3]['events']) < len(events)


def test_frames_are_cached_by_image(tmp_path, monkeypatch):
    write_fashion_mnist(tmp_path)
    options = dict(data_root=str(tmp_path), split='val', labels_per_class=1, pipeline=[FRAMES], cache_dir='cache')
    made = [item['frames'] for item in FashionMNISTDVS(**options)]
    assert len(list(Path(tmp_path, 'cache').rglob('*.sample'))) == 10
    with monkeypatch.context() as nothing:
        nothing.setattr(FashionMNISTDVS, 'read_events', None)  # from now on, none are made
        for item, frames in zip(FashionMNISTDVS(**options), made):
            np.testing.assert_array_equal(item['frames'], frames)
    write_fashion_mnist(tmp_path, seed=5)
    assert any((item['frames'] != frames).any() for item, frames in zip(FashionMNISTDVS(**options), made))


@pytest.mark.skipif(not Path(SYSTEM).is_dir(), reason='needs the package dataset-fashion-mnist')
def test_the_systems_package_is_the_published_set(monkeypatch, tmp_path):
    monkeypatch.setattr(FashionMNIST, 'system_folder', SYSTEM)
    options = dict(data_root=str(tmp_path), download=False, serialize_data=False)
    assert np.bincount(FashionMNIST(split='val', **options).get_gt_labels()).tolist() == [500] * 10
    assert len(FashionMNIST(split='train', labels_per_class=550, **options)) == 5500
