"""Event data sets through tonic's own readers, from small files in the original formats and folders."""
import hashlib
import pickle
import shutil
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import tonic
from mmengine.registry import DefaultScope

from bkdsnn.datasets import TonicDataset, event_dataset, split_files, tonic_dataset
from bkdsnn.datasets.split_files import read_split
from generated_events import (
    generate_events,
    write_aedat4,
    write_asl_dvs,
    write_bin,
    write_cifar10_dvs,
    write_dvs_gesture,
    write_dvs_lip,
    write_ncaltech101,
    write_nmnist,
    write_ntidigits,
    write_shd,
)
from helpers import logged_by


def small(name, root, split, partial=True, **options):
    """A data set of which most recordings are missing."""
    return TonicDataset(name, str(root), split, partial=partial, **options)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    events = {}
    for write in (write_cifar10_dvs, write_dvs_gesture, write_nmnist, write_ncaltech101, write_dvs_lip):
        events.update(write(root))
    write_shd(root)
    return root, events


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('something is downloaded')
    monkeypatch.setattr(tonic.dataset.Dataset, 'download', refuse)
    monkeypatch.setattr('urllib.request.urlopen', refuse)


# ---- reading ----

@pytest.mark.parametrize('name, split, length, sensor_size', [
    ('CIFAR10DVS', 'train', 90, (128, 128, 2)), ('CIFAR10DVS', 'test', 10, (128, 128, 2)),
    ('DVSGesture', 'train', 33, (128, 128, 2)), ('DVSGesture', 'test', 11, (128, 128, 2)),
    ('NMNIST', 'train', 20, (34, 34, 2)), ('NMNIST', 'test', 20, (34, 34, 2)),
    ('NCALTECH101', 'train', 8, (240, 180, 2)), ('NCALTECH101', 'test', 4, (240, 180, 2)),
    ('DVSLip', 'train', 2, (128, 128, 2)), ('DVSLip', 'test', 2, (128, 128, 2))])
def test_recordings_are_read_as_they_were_written(data_root, name, split, length, sensor_size):
    root, written = data_root
    dataset = small(name, root, split)
    assert len(dataset) == length
    assert dataset.metainfo['sensor_size'] == sensor_size
    for i, item in enumerate(dataset):
        assert item['sensor_size'] == sensor_size and item['sample_idx'] == i
        for field in 'xytp':
            np.testing.assert_array_equal(item['events'][field], written[item['path']][field])


def test_classes_and_labels_are_those_of_the_folders(data_root):
    root, _ = data_root
    dataset = small('CIFAR10DVS', root, 'train')
    assert dataset.CLASSES[0] == 'airplane' and dataset.CLASSES[9] == 'truck'
    for info in map(dataset.get_data_info, range(90)):
        assert f'/{dataset.CLASSES[info["gt_label"]]}/' in info['path']
    gestures = small('DVSGesture', root, 'test')
    assert len(gestures.CLASSES) == 11 and sorted(gestures.get_gt_labels().tolist()) == list(range(11))


def test_labels_of_ncaltech101_are_those_of_the_whole_set(data_root):
    """Where classes are missing, too."""
    dataset = small('NCALTECH101', data_root[0], 'train')
    assert len(dataset.CLASSES) == 101 and dataset.CLASSES[:2] == ('BACKGROUND_Google', 'Faces_easy')
    for info in map(dataset.get_data_info, range(len(dataset))):
        assert f'/{dataset.CLASSES[info["gt_label"]]}/' in info['path']


def test_spikes_of_a_cochlea_lie_on_a_line(data_root):
    dataset = small('SHD', data_root[0], 'test')
    assert len(dataset) == 5 and dataset.metainfo['sensor_size'] == (700, 1, 1) and len(dataset.CLASSES) == 20
    for i, item in enumerate(dataset):
        assert item['gt_label'] == i and item['events']['x'].max() > 0
        assert not item['events']['y'].any() and not item['events']['p'].any()
    with pytest.raises(ValueError, match='one file.*cache_dir=None'):
        small('SHD', data_root[0], 'test', cache_dir='cache', pipeline=[dict(type='EventsToFrames', time_steps=2)])


def test_a_set_without_a_split_takes_a_split_file(tmp_path):
    """ASL-DVS, whose reader gives events as a column."""
    write_asl_dvs(tmp_path)
    (tmp_path / 'test.txt').write_text('a/a_0002.mat\nb/b_0002.mat\n')
    dataset = small('ASLDVS', tmp_path, 'test', split_file=str(tmp_path / 'test.txt'))
    assert [item['gt_label'] for item in dataset] == [0, 1]
    assert all(item['events'].shape == (20,) for item in dataset)


@pytest.mark.parametrize('reader, classes, labels', [
    ({}, ('1', 'o', 'z'), [0, 2, 1]), (dict(single_digits=True), None, [1, 10, 0])])
def test_recordings_in_one_hdf5_file(tmp_path, reader, classes, labels):
    """N-TIDIGITS: classes are texts, or tonic's numbers of single digits."""
    write_ntidigits(tmp_path)
    dataset = small('NTIDIGITS18', tmp_path, 'train', reader=reader)
    assert dataset.CLASSES == classes and dataset.get_gt_labels().tolist() == labels
    assert dataset.metainfo['sensor_size'] == (64, 1, 1)
    assert all(len(item['events']) == 30 and not item['events']['y'].any() for item in dataset)


def test_a_sensor_that_depends_on_an_argument(tmp_path):
    """MNIST's pixels as spikes of neurons with thresholds, whose number is an argument."""
    folder = tmp_path / 'smnist'
    folder.mkdir()
    (folder / 't10k-images-idx3-ubyte').write_bytes(
        np.array([2051, 2, 28, 28], '>u4').tobytes() + np.tile(np.arange(49, dtype=np.uint8), 32).tobytes())
    (folder / 't10k-labels-idx1-ubyte').write_bytes(np.array([2049, 2], '>u4').tobytes() + bytes([7, 1]))
    dataset = small('SMNIST', tmp_path, 'test', reader=dict(num_neurons=21))
    assert dataset.metainfo['sensor_size'] == (21, 1, 1) and dataset.get_gt_labels().tolist() == [7, 1]
    assert len(dataset[0]['events'])


def test_tonics_arguments_are_passed_on(data_root):
    whole, first = (small('NMNIST', data_root[0], 'test', reader=reader)
                    for reader in ({}, dict(first_saccade_only=True)))
    want = whole[3]['events']
    np.testing.assert_array_equal(first[3]['events'], want[want['t'] < 1e5])
    assert whole.source() != first.source()


# ---- splits ----

def test_cifar10_dvs_split_is_the_last_tenth_of_the_sorted_names_in_every_class():
    """As spikingjelly and the paper: 99 comes after 989."""
    expected = [f'{name}/cifar10_{name}_{number}.aedat4' for name in tonic.datasets.CIFAR10DVS.classes
                for number in sorted(range(1000), key=lambda i: f'{i}.')[900:]]
    assert read_split('cifar10_dvs.txt') == expected and len(expected) == 1000


def test_ncaltech101_split_is_every_tenth_recording_of_every_class():
    numbers = {}
    for path in read_split('n_caltech101.txt'):
        folder, name, file = path.split('/')
        assert folder == 'Caltech101'
        numbers.setdefault(name, []).append(int(file[len('image_'):-len('.bin')]))
    assert len(numbers) == 101 and sum(map(len, numbers.values())) == 823
    assert all(found == list(range(10, 10 * len(found) + 1, 10)) for found in numbers.values())


def test_split_files_have_the_checksums_beside_them():
    for line in (split_files.FOLDER / 'SHA256SUMS').read_text().splitlines():
        checksum, name = line.split()
        assert hashlib.sha256((split_files.FOLDER / name).read_bytes()).hexdigest() == checksum


def test_changed_split_file_is_named(tmp_path, monkeypatch):
    shutil.copytree(split_files.FOLDER, tmp_path / 'splits')
    monkeypatch.setattr(split_files, 'FOLDER', tmp_path / 'splits')
    (tmp_path / 'splits' / 'cifar10_dvs.txt').write_text('airplane/cifar10_airplane_1.aedat4\n')
    with pytest.raises(ValueError, match='cifar10_dvs.txt has been changed'):
        read_split('cifar10_dvs.txt')


def test_split_file_of_ones_own(data_root, tmp_path):
    (tmp_path / 'mine.txt').write_text('cat/cifar10_cat_3.aedat4\n\nairplane/cifar10_airplane_5.aedat4\n')
    train, test = (TonicDataset('CIFAR10DVS', str(data_root[0]), split, split_file=str(tmp_path / 'mine.txt'),
                                partial=split == 'train') for split in ('train', 'test'))
    assert [item['path'].split('/')[-1] for item in test] == ['cifar10_airplane_5.aedat4', 'cifar10_cat_3.aedat4']
    assert len(train) == 98


@pytest.mark.parametrize('content, words', [
    ('cat/cifar10_cat_3.aedat4\ncat/cifar10_cat_77.aedat4', 'names 1 of 2 .*cifar10_cat_77.aedat4 .line 2.'),
    ('a\nb\na', 'names a twice, as entries 1 and 3'), ('\n', 'is empty')])
def test_split_file_that_does_not_match_is_named(data_root, tmp_path, content, words):
    (tmp_path / 'mine.txt').write_text(content)
    with pytest.raises(ValueError, match=f'mine.txt.* {words}|split file .*mine.txt {words}'):
        TonicDataset('CIFAR10DVS', str(data_root[0]), 'test', split_file=str(tmp_path / 'mine.txt'))


def test_sets_with_a_split_of_their_own_take_no_other(data_root):
    with pytest.raises(ValueError, match='split of its own; drop split_file'):
        small('DVSGesture', data_root[0], 'test', split_file='mine.txt')
    with pytest.raises(ValueError, match='ASLDVS has no split of its own. Give split_file'):
        small('ASLDVS', data_root[0], 'test')
    with pytest.raises(FileNotFoundError, match="split file 'mine.txt' does not exist"):
        small('CIFAR10DVS', data_root[0], 'test', split_file='mine.txt')


def test_gestures_are_in_the_order_of_their_names(data_root):
    paths = [item['path'] for item in small('DVSGesture', data_root[0], 'train')]
    found = [(int(path.split('user')[-1][:2]), int(path.split('/')[-1][:-4])) for path in paths]
    assert found == [(user, label) for user in (1, 2, 10) for label in sorted(range(11), key=lambda i: f'{i}.')]


def test_listing_reads_no_events(data_root, monkeypatch):
    monkeypatch.setattr(tonic.datasets.CIFAR10DVS, '__getitem__', None)
    dataset = small('CIFAR10DVS', data_root[0], 'train')
    assert len(dataset) == 90 and len(dataset.get_gt_labels()) == 90


def test_pipeline_is_found_without_a_default_scope(data_root, monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    pipeline = [dict(type='EventsToFrames', time_steps=3), dict(type='PackEvents')]
    dataset = small('DVSGesture', data_root[0], 'test', pipeline=pipeline)
    assert dataset[0]['inputs'].shape == (3, 2, 128, 128)


def test_data_set_survives_pickling_into_a_worker(data_root):
    dataset = small('DVSGesture', data_root[0], 'test')
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[3]['events'], dataset[3]['events'])


@pytest.mark.parametrize('name, split, words', [
    ('CIFAR10DVS', 'train', ['CIFAR10DVS.zip', 'CIFAR10DVS/airplane/cifar10_airplane_0.aedat4']),
    ('NCALTECH101', 'train', ['N-Caltech101-archive.zip', 'Caltech101/yin_yang/image_0060.bin', 'MD5 66201824']),
    ('DVSGesture', 'train', ['ibmGestureTrain.tar.gz', 'ibmGestureTrain/user01_fluorescent/0.npy']),
    ('DVSGesture', 'test', ['ibmGestureTest.tar.gz', 'ibmGestureTest/user24_fluorescent/0.npy']),
    ('NMNIST', 'test', ['test.zip', 'NMNIST/Test/0/']), ('DVSLip', 'test', ['DVS-Lip.zip', 'DVS-Lip/test'])])
def test_missing_data_shows_the_folders_and_the_archive_to_get(tmp_path, name, split, words):
    with pytest.raises(FileNotFoundError) as error:
        small(name, tmp_path / 'nothing', split)
    assert all(word in str(error.value) for word in [*words, name, f"split='{split}'", str(tmp_path / 'nothing')])
    assert not list(tmp_path.iterdir())


def test_a_part_without_recordings_is_missing_data(tmp_path):
    write_cifar10_dvs(tmp_path, numbers=range(3), number=1)
    with pytest.raises(FileNotFoundError, match='none of the 30 recordings .* is in the test part'):
        small('CIFAR10DVS', tmp_path, 'test')


@pytest.mark.parametrize('name, words', [
    ('CIFAR10DVS', 'cifar10_dvs.txt names 990 of 1000 recordings'), ('NMNIST', '20 recordings .*has 60000')])
def test_an_incomplete_data_set_is_an_error_unless_it_is_meant(data_root, monkeypatch, name, words):
    with pytest.raises(ValueError, match=f'(?s){words}.*partial=True.*Expected'):
        small(name, data_root[0], 'train', partial=False)
    told = logged_by(monkeypatch, tonic_dataset)
    small(name, data_root[0], 'train')
    assert 'results will not be comparable' in told[0]


def test_an_archive_is_unpacked_where_it_lies(tmp_path, monkeypatch):
    """CIFAR10-DVS comes as a zip file with one zip file per class inside."""
    written = write_cifar10_dvs(tmp_path / 'made', numbers=(0, 999), number=5)
    folder = tmp_path / 'data' / 'CIFAR10DVS'
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / 'CIFAR10DVS.zip', 'w') as archive:
        for path in (tmp_path / 'made' / 'CIFAR10DVS').iterdir():
            archive.write(shutil.make_archive(str(path), 'zip', path.parent, path.name), f'{path.name}.zip')
    digest = hashlib.md5((folder / 'CIFAR10DVS.zip').read_bytes()).hexdigest()
    monkeypatch.setattr(tonic.datasets.CIFAR10DVS, 'file_md5', digest)
    for split in ('train', 'test'):
        dataset = small('CIFAR10DVS', tmp_path / 'data', split)
        assert len(dataset) == 10
        for item in dataset:
            want = written[item['path'].replace(str(tmp_path / 'data'), str(tmp_path / 'made'))]
            np.testing.assert_array_equal(item['events']['x'], want['x'])
    (folder / 'CIFAR10DVS.zip').write_bytes(b'half')
    shutil.rmtree(folder / 'cat')
    assert len(small('CIFAR10DVS', tmp_path / 'data', 'train')) == 9  # what is there is not replaced


def test_a_damaged_archive_is_named(tmp_path):
    (tmp_path / 'DVSGesture').mkdir()
    (tmp_path / 'DVSGesture' / 'ibmGestureTest.tar.gz').write_bytes(b'half a download')
    with pytest.raises(ValueError, match='ibmGestureTest.tar.gz has the MD5 .* and not 56070e45'):
        small('DVSGesture', tmp_path, 'test')


def test_folders_of_something_else_are_named(tmp_path):
    write_cifar10_dvs(tmp_path, numbers=[0], number=1)
    (tmp_path / 'CIFAR10DVS' / 'cat').rename(tmp_path / 'CIFAR10DVS' / 'cats')
    with pytest.raises(ValueError, match="(?s)'cats'.*cifar10_airplane_0"):
        small('CIFAR10DVS', tmp_path, 'train')


def one_recording(name, folder, events):
    """A data set whose only recording holds these events; returns it and the file."""
    path, write = dict(
        CIFAR10DVS=('cat/cifar10_cat_0.aedat4', write_aedat4), NMNIST=('Train/7/00000.bin', write_bin),
        NCALTECH101=('Caltech101/ant/image_0001.bin', write_bin),
        DVSGesture=('ibmGestureTrain/user01_led/3.npy', lambda path, events: np.save(
            path, np.stack([events['x'], events['y'], events['p'], events['t'] // 1000], 1))))[name]
    path = folder / name / path
    path.parent.mkdir(parents=True)
    write(path, events)
    return small(name, folder, 'train'), path


FORMATS = ['CIFAR10DVS', 'DVSGesture', 'NMNIST', 'NCALTECH101']


@pytest.mark.parametrize('content', [bytes(range(255)) * 5, None])
@pytest.mark.parametrize('name', FORMATS)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content):
    """Truncated in the middle of an event, or foreign."""
    dataset, path = one_recording(name, tmp_path, generate_events(100, size=(30, 30), duration=300000))
    path.write_bytes(content or path.read_bytes()[:-7])
    with pytest.raises((OSError, ValueError), match=path.name):
        dataset[0]


@pytest.mark.parametrize('name', FORMATS)
def test_an_empty_recording_is_counted_and_becomes_zeros(tmp_path, monkeypatch, name):
    told = logged_by(monkeypatch, event_dataset)
    dataset, path = one_recording(name, tmp_path, generate_events(0))
    dataset.pipeline.transforms = [event_dataset.TRANSFORMS.build(dict(type='EventsToFrames', time_steps=3))]
    for count in (1, 2):
        frames = dataset[0]['frames']
        assert frames.shape[0] == 3 and not frames.any()
        assert str(path) in told[-1] and f'({count} such recordings' in told[-1]


@pytest.mark.parametrize('name, field, value', [
    ('CIFAR10DVS', 'x', 128), ('CIFAR10DVS', 'y', 200), ('DVSGesture', 'x', -1), ('DVSGesture', 'y', 128),
    ('NMNIST', 'x', 34), ('NCALTECH101', 'y', 239)])
def test_an_event_outside_the_sensor_is_named_with_file_and_index(tmp_path, name, field, value):
    events = generate_events(20, size=(30, 30), duration=300000)
    events[field][7] = value
    dataset, path = one_recording(name, tmp_path, events)
    if name == 'NCALTECH101':  # the reader moves the recording to the origin
        value -= events[field].min()
    words = f'{path.name}: 1 of 20 events have {field} outside .*event 7 with .*{field}={value}'
    with pytest.raises(ValueError, match=words):
        dataset[0]


@pytest.mark.parametrize('column, field, value', [(2, 'p', 2), (2, 'p', -1), (0, 'x', 70_000)])
def test_numbers_that_tonic_would_change_are_named(tmp_path, column, field, value):
    """It makes booleans of polarities, and 16 bits of places."""
    dataset, path = one_recording('DVSGesture', tmp_path, generate_events(20, size=(30, 30), duration=300000))
    rows = np.load(path)
    rows[7, column] = value
    np.save(path, rows)
    with pytest.raises(OSError, match=f'{path.name} cannot be read: event 7 has {field}={value}'):
        dataset[0]


def test_unsorted_events_are_put_in_the_order_of_time_and_equal_times_keep_theirs(tmp_path):
    events = generate_events(50, size=(30, 30), duration=300000)
    events['t'] = np.repeat(np.arange(5), 10)[np.random.default_rng(0).permutation(50)]
    dataset, _ = one_recording('NMNIST', tmp_path, events)
    read, want = dataset[0]['events'], events[np.argsort(events['t'], kind='stable')]
    for field in 'xytp':
        np.testing.assert_array_equal(read[field], want[field])


def test_the_23_bits_of_a_files_clock_go_on(tmp_path):
    events = generate_events(50, size=(30, 30), duration=300000)
    events['t'] = np.arange(50) * 6000 + 2**23 - 100_000
    dataset, _ = one_recording('NMNIST', tmp_path, events.copy())
    read = dataset[0]['events']
    assert read['t'].tolist() == (events['t'] - events['t'][0] + read['t'][0]).tolist()
    np.testing.assert_array_equal(read['x'], events['x'])


@pytest.mark.parametrize('wrong', [dict(name='CIFAR10'), dict(split='val')])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f'{list(wrong)[0]}='):
        TonicDataset(**{**dict(name='CIFAR10DVS', data_root='data', split='train'), **wrong})
