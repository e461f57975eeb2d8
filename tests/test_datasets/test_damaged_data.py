"""Files damaged at random, 200 times each format: an error that names the file, or what can be told no better."""
import signal
import warnings
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from generated_data import write_cifar10

from bkdsnn.apis.readers import EventReader, ImageReader
from bkdsnn.datasets import CIFAR10, EventFolder, ImageFolder, TonicDataset, hdf5_files
from bkdsnn.datasets.sample_cache import SampleCache
from bkdsnn.datasets.split_files import read_split
from generated_events import generate_events, write_aedat4, write_asl_dvs, write_bin, write_dvs_gesture, write_shd

TIMES = 200
SIZE = (16, 12)
LOAD = [dict(type='mmpretrain.LoadImageFromFile')]
# Those with checksums of all that counts: damage is found, or does not matter.
CHECKED = ('.png', )
IMAGES = ('.png', '.jpg', '.bmp', '.ppm', '.pgm', '.tif', '.webp')
EVENTS = ('.npy', '.bin', '.aedat4')


def damages(content, seed):
    """Copies of a file: bytes changed, cut off, a part zero or left out, or others after it."""
    rng = np.random.default_rng(seed)
    for i in range(TIMES):
        data = bytearray(content)
        # Heads are small, and it is them that readers believe.
        place = int(rng.integers(min(64, len(data)) if i % 2 else len(data)))
        kind = i % 8
        if kind < 4:
            for _ in range(int(rng.integers(1, 4))):
                data[place] = int(rng.integers(256))
                place = int(rng.integers(len(data)))
        elif kind == 4:
            del data[place:]
        elif kind == 5:
            data[place:place + 40] = bytes(len(data[place:place + 40]))
        elif kind == 6:
            del data[place:place + int(rng.integers(1, 20))]
        else:
            data += rng.bytes(int(rng.integers(1, 20)))
        yield kind, bytes(data)


@contextmanager
def in_time(seconds=120):
    """A hang ends the test."""
    def stop(*_):
        raise AssertionError('it hangs')
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcomes(path, read, seconds=120):
    """What is read of each damaged copy of a file: ``(kind, result or error)``; errors give its name."""
    content = path.read_bytes()
    with in_time(seconds), warnings.catch_warnings():
        warnings.simplefilter('error')
        for kind, damaged in damages(content, 0):
            path.write_bytes(damaged)
            try:
                result = read()
            except (OSError, ValueError) as error:
                result = error
                assert path.name in str(error) and '\n' not in str(error), error
            yield kind, result
    path.write_bytes(content)


def is_error(result):
    return isinstance(result, Exception)


@pytest.fixture
def image_folder(tmp_path):
    def make(extension):
        folder = tmp_path / 'train' / 'a'
        folder.mkdir(parents=True)
        image = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
        assert cv2.imwrite(str(folder / f'x{extension}'), image if extension != '.pgm' else image[..., 0])
        return folder / f'x{extension}', ImageFolder(str(tmp_path), 'train', pipeline=LOAD)
    return make


@pytest.mark.parametrize('extension', IMAGES)
def test_damaged_images(image_folder, extension):
    path, dataset = image_folder(extension)
    intact, reader = dataset[0]['img'], ImageReader(3, False, None, print)
    number = 0
    for kind, image in outcomes(path, lambda: dataset.prepare_data(0)['img']):
        number += is_error(image)
        if not is_error(image):
            # Formats without checksums show a changed byte as another pixel, never more than there was.
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert np.array_equal(image, intact) or extension not in CHECKED
            assert kind != 4 or np.array_equal(image, intact), 'something was made up for what is cut off'
            np.testing.assert_array_equal(reader.read(path)['img'], image)
        else:
            with pytest.raises(OSError, match=path.name):
                reader.read(path)
    assert number > TIMES / 8


@pytest.mark.parametrize('extension', EVENTS)
def test_damaged_recordings(tmp_path, extension):
    path = tmp_path / 'train' / 'a' / f'x{extension}'
    path.parent.mkdir(parents=True)
    events = generate_events(60, size=SIZE, duration=300_000)
    {'.npy': lambda: np.save(path, events), '.bin': lambda: write_bin(path, events),
     '.aedat4': lambda: write_aedat4(path, events, SIZE, packet=16)}[extension]()
    dataset, reader = EventFolder(str(tmp_path), 'train', SIZE), EventReader((*SIZE, 2))
    number = 0
    for kind, read in outcomes(path, lambda: dataset.prepare_data(0)['events']):
        number += is_error(read)
        if is_error(read):
            with pytest.raises((OSError, ValueError)):
                reader.read(path)
            continue
        assert all(read.dtype[name] == np.int64 for name in 'xytp') and (np.diff(read['t']) >= 0).all()
        assert all((0 <= read[name]).all() and (read[name] < size).all() for name, size in zip('xyp', (*SIZE, 2)))
        if kind == 4:  # at the end of an event or a packet, and a header has no number of them
            assert extension != '.npy' and read.tolist() == events[:len(read)].tolist()
    assert number > TIMES / 4


@pytest.mark.parametrize('name, write, pattern', [
    ('DVSGesture', lambda root: write_dvs_gesture(root, dict(Train=(1, )), number=30), '*.npy'),
    ('ASLDVS', lambda root: write_asl_dvs(root, 'a', 1), '*.mat')])
def test_damaged_files_that_tonic_reads(tmp_path, name, write, pattern):
    write(tmp_path)
    split_file = tmp_path / 'split.txt'
    split_file.write_text('none\n')
    options = dict(split_file=str(split_file)) if name == 'ASLDVS' else {}
    dataset = TonicDataset(name, str(tmp_path), 'train', partial=True, **options)
    path = next(path for path in sorted(tmp_path.rglob(pattern)) if path.is_file())
    width, height, polarities = dataset.metainfo['sensor_size']
    for _, read in outcomes(path, lambda: dataset.prepare_data(0)['events']):
        if not is_error(read):
            assert (read['x'] < width).all() and (read['y'] < height).all() and (read['p'] < polarities).all()
            assert (np.diff(read['t']) >= 0).all()


def test_damaged_hdf5(tmp_path, monkeypatch):
    """In some copies the library does not end, in others it ends the process; so each is read in one of its own."""
    write_shd(tmp_path, number=2)
    monkeypatch.setattr(hdf5_files, 'PATIENCE', 0.4)

    def read():
        dataset = TonicDataset('SHD', str(tmp_path), 'train', partial=True)
        return [dataset.prepare_data(i)['events'] for i in range(len(dataset))]

    results = [read for _, read in outcomes(tmp_path / 'SHD' / 'shd_train.h5', read, seconds=900)]
    assert sum(map(is_error, results)) > TIMES / 4
    assert all((events['x'] < 700).all() and (np.diff(events['t']) >= 0).all()
               for result in results if not is_error(result) for events in result)


def test_damaged_cifar(tmp_path):
    write_cifar10(tmp_path, per_batch=2, test=2)
    path = tmp_path / 'cifar-10-batches-py' / 'test_batch'
    for _, images in outcomes(path, lambda: list(CIFAR10(str(tmp_path), 'test', pipeline=[]))):
        assert is_error(images) or all(image['img'].shape == (32, 32, 3) and 0 <= image['gt_label'] < 10
                                       for image in images)


def test_damaged_entries_of_a_cache_are_made_anew(tmp_path):
    arrays = dict(a=np.arange(40, dtype=np.float32).reshape(5, 8), b=np.array([[1.5, -2.0]]))
    cache = SampleCache(str(tmp_path), 'test', 'as it is')
    cache.get('x', None, lambda: arrays)
    path, = cache.folder.iterdir()
    for _, read in outcomes(path, lambda: cache.get('x', None, lambda: arrays)):
        assert read.keys() == arrays.keys() and all(np.array_equal(read[key], arrays[key]) for key in arrays)


def test_damaged_split_files(tmp_path):
    path = tmp_path / 'split.txt'
    path.write_text('\n'.join(f'class/recording_{i}.bin' for i in range(30)))
    for _, read in outcomes(path, lambda: read_split(str(path))):
        assert is_error(read) or read and all(isinstance(line, str) for line in read)


def test_damage_is_of_all_kinds():
    kinds = [kind for kind, _ in damages(bytes(100), 0)]
    assert len(kinds) == TIMES and set(kinds) == set(range(8))
    assert len({damaged for _, damaged in damages(bytes(100), 0)}) > TIMES / 2
