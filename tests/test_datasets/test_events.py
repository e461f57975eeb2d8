"""Event data sets through tonic's own readers, frames, views and their augmentation."""
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import tonic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DefaultScope

from bkdsnn.datasets import TonicDataset
from bkdsnn.datasets.transforms import events_to_frames
from bkdsnn.registry import DATASETS, MODELS, TRANSFORMS
from generated_events import DTYPE, generate_events, write_cifar10_dvs, write_dvs_gesture, write_dvs_lip, write_nmnist
from helpers import REPOSITORY

VIEWS = dict(student=4, teacher=16)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    events = {}
    for write in (write_cifar10_dvs, write_dvs_gesture, write_nmnist, write_dvs_lip):
        events.update(write(root))
    return root, events


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('something is downloaded')
    monkeypatch.setattr(tonic.dataset.Dataset, 'download', refuse)
    monkeypatch.setattr('urllib.request.urlopen', refuse)


def file_numbers(dataset):
    """By class, the numbers in the file names, in the data set's order."""
    numbers = {}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        numbers.setdefault(info['gt_label'], []).append(int(info['path'].split('_')[-1].split('.')[0]))
    return numbers


# ---- reading ----

@pytest.mark.parametrize('name, split, length, sensor_size', [
    ('CIFAR10DVS', 'train', 90, (128, 128, 2)), ('CIFAR10DVS', 'test', 10, (128, 128, 2)),
    ('DVSGesture', 'train', 33, (128, 128, 2)), ('DVSGesture', 'test', 11, (128, 128, 2)),
    ('NMNIST', 'train', 20, (34, 34, 2)), ('NMNIST', 'test', 20, (34, 34, 2)),
    ('DVSLip', 'train', 2, (128, 128, 2)), ('DVSLip', 'test', 2, (128, 128, 2))])
def test_recordings_are_read_as_they_were_written(data_root, name, split, length, sensor_size):
    root, written = data_root
    dataset = TonicDataset(name, str(root), split)
    assert len(dataset) == length
    assert dataset.metainfo['sensor_size'] == sensor_size
    for i, item in enumerate(dataset):
        assert item['sensor_size'] == sensor_size and item['sample_idx'] == i
        for field in 'xytp':
            np.testing.assert_array_equal(item['events'][field], written[item['path']][field])


def test_classes_and_labels_are_those_of_the_folders(data_root):
    root, _ = data_root
    dataset = TonicDataset('CIFAR10DVS', str(root), 'train')
    assert dataset.CLASSES[0] == 'airplane' and dataset.CLASSES[9] == 'truck'
    for info in map(dataset.get_data_info, range(90)):
        assert f'/{dataset.CLASSES[info["gt_label"]]}/' in info['path']
    gestures = TonicDataset('DVSGesture', str(root), 'test')
    assert len(gestures.CLASSES) == 11 and sorted(gestures.get_gt_labels().tolist()) == list(range(11))


def test_cifar10_dvs_split_is_the_last_tenth_of_the_sorted_names_in_every_class(tmp_path):
    """As spikingjelly and the paper: 9 comes after 19."""
    write_cifar10_dvs(tmp_path, per_class=21, number=1)
    train, test = (file_numbers(TonicDataset('CIFAR10DVS', str(tmp_path), split)) for split in ('train', 'test'))
    by_name = sorted(range(21), key=lambda number: f'{number}.')
    assert by_name[-2:] == [8, 9]
    assert train == {label: by_name[:19] for label in range(10)}
    assert test == {label: [8, 9] for label in range(10)}


def test_gestures_are_in_the_order_of_their_names(data_root):
    paths = [item['path'] for item in TonicDataset('DVSGesture', str(data_root[0]), 'train')]
    found = [(int(path.split('user')[-1][:2]), int(path.split('/')[-1][:-4])) for path in paths]
    assert found == [(user, label) for user in (1, 2, 10) for label in sorted(range(11), key=lambda i: f'{i}.')]


def test_listing_reads_no_events(data_root, monkeypatch):
    monkeypatch.setattr(tonic.datasets.CIFAR10DVS, '__getitem__', None)
    dataset = TonicDataset('CIFAR10DVS', str(data_root[0]), 'train')
    assert len(dataset) == 90 and len(dataset.get_gt_labels()) == 90


def test_pipeline_is_found_without_a_default_scope(data_root, monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    pipeline = [dict(type='EventsToFrames', time_steps=3), dict(type='PackEvents')]
    dataset = TonicDataset('DVSGesture', str(data_root[0]), 'test', pipeline=pipeline)
    assert dataset[0]['inputs'].shape == (3, 2, 128, 128)


def test_data_set_survives_pickling_into_a_worker(data_root):
    dataset = TonicDataset('DVSGesture', str(data_root[0]), 'test')
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[3]['events'], dataset[3]['events'])


@pytest.mark.parametrize('name, split, words', [
    ('CIFAR10DVS', 'train', ['CIFAR10DVS.zip', 'CIFAR10DVS/airplane/cifar10_airplane_0.aedat4']),
    ('DVSGesture', 'train', ['ibmGestureTrain.tar.gz', 'ibmGestureTrain/user01_fluorescent/0.npy']),
    ('DVSGesture', 'test', ['ibmGestureTest.tar.gz', 'ibmGestureTest/user24_fluorescent/0.npy']),
    ('NMNIST', 'test', ['Test.zip', 'NMNIST/Test/0/']), ('DVSLip', 'test', ['DVS-Lip.zip', 'DVS-Lip/test'])])
def test_missing_data_shows_the_folders_and_the_archive_to_get(tmp_path, name, split, words):
    with pytest.raises(FileNotFoundError) as error:
        TonicDataset(name, str(tmp_path / 'nothing'), split)
    assert all(word in str(error.value) for word in [*words, name, f"split='{split}'", str(tmp_path / 'nothing')])
    assert not list(tmp_path.iterdir())


def test_too_few_recordings_for_a_test_part_are_missing_data(tmp_path):
    write_cifar10_dvs(tmp_path, per_class=9, number=1)
    with pytest.raises(FileNotFoundError, match="split='test'"):
        TonicDataset('CIFAR10DVS', str(tmp_path), 'test')


def test_an_incomplete_data_set_is_told(data_root, monkeypatch):
    told = []
    monkeypatch.setattr('bkdsnn.datasets.tonic_dataset.print_log', lambda message, **_: told.append(message))
    TonicDataset('CIFAR10DVS', str(data_root[0]), 'train')
    assert "90 recordings for split='train' where the published CIFAR10DVS has 9000" in told[0]


def test_folders_of_something_else_are_named(tmp_path):
    write_cifar10_dvs(tmp_path, per_class=1, number=1)
    (tmp_path / 'CIFAR10DVS' / 'cat').rename(tmp_path / 'CIFAR10DVS' / 'cats')
    with pytest.raises(ValueError, match="(?s)'cats'.*cifar10_airplane_0"):
        TonicDataset('CIFAR10DVS', str(tmp_path), 'train')


@pytest.mark.parametrize('content', [b'not a recording', None])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    written = write_cifar10_dvs(tmp_path, per_class=1)
    path = next(path for path in written if 'airplane' in path)
    with open(path, 'rb+') as file:
        if content:
            file.write(content)
        else:
            file.truncate(1000)
    dataset = TonicDataset('CIFAR10DVS', str(tmp_path), 'train')
    with pytest.raises(OSError, match='cifar10_airplane_0.aedat4 cannot be read'):
        dataset[0]


@pytest.mark.parametrize('wrong', [dict(name='CIFAR10'), dict(split='val')])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f'{list(wrong)[0]}='):
        TonicDataset(**{**dict(name='CIFAR10DVS', data_root='data', split='train'), **wrong})


# ---- frames ----

def naive_frames(events, sensor_size, time_steps, by):
    """The rule of the docstring, one event after the other."""
    width, height, polarities = sensor_size
    frames = np.zeros((time_steps, polarities, height, width))
    in_time = sorted(range(len(events)), key=lambda i: events['t'][i])
    start, end = (int(events['t'].min()), int(events['t'].max()) + 1) if len(events) else (0, 1)
    share = max(len(events) // time_steps, 1)
    for rank, i in enumerate(in_time):
        x, y, t, p = (int(events[name][i]) for name in 'xytp')
        if by == 'count':
            step = min(rank // share, time_steps - 1)
        else:
            step = next(k for k in range(time_steps) if t - start < (k + 1) * (end - start) / time_steps)
        frames[step, p, y, x] += 1
    return frames


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 20), st.sampled_from(['count', 'time']),
       st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 2)), st.integers(1, 50), st.booleans(),
       st.integers(0, 2**32 - 1))
def test_frames_count_every_event_once_and_where_it_belongs(number, steps, by, sensor, duration, is_sorted, seed):
    rng = np.random.default_rng(seed)
    events = np.zeros(number, np.dtype([('t', np.uint64), ('x', np.uint16), ('y', np.uint16), ('p', bool)]))
    for name, limit in zip('xypt', (*sensor, duration)):
        events[name] = rng.integers(0, limit, number)
    if is_sorted:
        events = np.sort(events, order='t', kind='stable')
    frames = events_to_frames(events, sensor, steps, by)
    assert frames.shape == (steps, sensor[2], sensor[1], sensor[0]) and frames.dtype == np.float32
    assert frames.sum() == number
    np.testing.assert_array_equal(frames, naive_frames(events, sensor, steps, by))


def test_frames_hold_equally_many_events_as_the_paper_splits_them():
    frames = events_to_frames(generate_events(1003), (128, 128, 2), 4)
    assert frames.sum((1, 2, 3)).tolist() == [250, 250, 250, 253]
    few = events_to_frames(generate_events(3), (128, 128, 2), 5)
    assert few.sum((1, 2, 3)).tolist() == [1, 1, 1, 0, 0]


def test_frames_by_time_are_windows_of_equal_duration():
    events = np.zeros(4, DTYPE)
    events['t'] = [1000, 1001, 1001 + 49, 1099]
    assert events_to_frames(events, (2, 2, 2), 4, 'time').sum((1, 2, 3)).tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32'])
def test_empty_recordings_are_empty_frames(dtype):
    frames = events_to_frames(np.zeros(0, DTYPE), (6, 5, 2), 3, dtype=dtype)
    assert frames.shape == (3, 2, 5, 6) and not frames.any() and frames.dtype == dtype


@pytest.mark.parametrize('change, words', [
    (dict(x=128), ['1 of 10 events', 'x between', '128', 'outside 0 to 127']), (dict(y=-1), ['y between -1']),
    (dict(p=2), ['p between', 'outside 0 to 1'])])
def test_events_outside_the_sensor_are_an_error(change, words):
    events = generate_events(10)
    for name, value in change.items():
        events[name][4] = value
    with pytest.raises(ValueError) as error:
        events_to_frames(events, (128, 128, 2), 2)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize('arguments, words', [
    (dict(time_steps=0), 'time_steps=0'), (dict(time_steps=2.0), 'time_steps=2.0'), (dict(by='number'), "by='number'"),
    (dict(events=np.zeros(3)), 'x, y, t and p are needed'),
    (dict(events=np.zeros(3, [('x', int), ('y', int), ('p', int), ('t', float)])), 'integers'),
    (dict(events=np.zeros(300, DTYPE), dtype='uint8', time_steps=1), '300 events in one frame, which uint8')])
def test_bad_frame_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        events_to_frames(**{**dict(events=generate_events(5), sensor_size=(128, 128, 2), time_steps=2), **arguments})


# ---- transforms ----

def run(*pipeline, events=None):
    results = dict(events=generate_events(500) if events is None else events, sensor_size=(128, 128, 2), gt_label=3,
                   path='a.aedat4', sample_idx=7)
    for cfg in pipeline:
        results = TRANSFORMS.build(cfg)(results)
    return results


def test_two_views_are_framings_of_the_same_events():
    packed = run(dict(type='EventsToFrames', time_steps=VIEWS), dict(type='PackEvents'))
    views = packed['inputs']
    assert views['student'].shape == (4, 2, 128, 128) and views['teacher'].shape == (16, 2, 128, 128)
    assert torch.equal(views['student'].sum(0), views['teacher'].sum(0)) and views['student'].sum() == 500
    sample = packed['data_samples']
    assert sample.gt_label.item() == 3 and sample.path == 'a.aedat4' and sample.sample_idx == 7


@pytest.mark.parametrize('as_image, student, teacher', [
    (False, (4, 2, 128, 128), (16, 2, 128, 128)), (['teacher'], (4, 2, 128, 128), (32, 128, 128)),
    (True, (8, 128, 128), (32, 128, 128))])
def test_views_may_be_packed_as_images(as_image, student, teacher):
    inputs = run(dict(type='EventsToFrames', time_steps=VIEWS), dict(type='PackEvents', as_image=as_image))['inputs']
    assert inputs['student'].shape == student and inputs['teacher'].shape == teacher
    frames = events_to_frames(generate_events(500), (128, 128, 2), 16)
    np.testing.assert_array_equal(inputs['teacher'].reshape(16, 2, 128, 128), frames)


def test_a_single_view_may_be_packed_as_an_image():
    inputs = run(dict(type='EventsToFrames', time_steps=4), dict(type='PackEvents', as_image=True))['inputs']
    assert inputs.shape == (8, 128, 128)


def test_augmentation_is_one_draw_for_both_views():
    events = generate_events(500)
    seen = set()
    for seed in range(8):
        np.random.seed(seed)
        results = run(dict(type='RandomEventFlip'), dict(type='EventsToFrames', time_steps=VIEWS),
                      dict(type='RandomFrameRoll', max_shift=3), events=events)
        views = results['frames']
        np.testing.assert_array_equal(views['student'].sum(0), views['teacher'].sum(0))
        assert views['student'].sum() == 500
        seen.add(results['flip'])
    assert seen == {True, False}
    np.testing.assert_array_equal(events, generate_events(500))  # the data set's array is left alone


def test_flip_mirrors_and_roll_shifts():
    plain = run(dict(type='EventsToFrames', time_steps=2))['frames']
    flipped = run(dict(type='RandomEventFlip', prob=1.0), dict(type='EventsToFrames', time_steps=2))['frames']
    np.testing.assert_array_equal(flipped, plain[..., ::-1])
    np.random.seed(1)
    rolled = run(dict(type='EventsToFrames', time_steps=2), dict(type='RandomFrameRoll', max_shift=4))['frames']
    shifts = [(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)
              if np.array_equal(np.roll(plain, (dy, dx), (-2, -1)), rolled)]
    assert len(shifts) == 1 and shifts != [(0, 0)]


@pytest.mark.parametrize('cfg, words', [
    (dict(type='EventsToFrames', time_steps=dict(student=4)), "keys \\['student', 'teacher'\\]"),
    (dict(type='EventsToFrames', time_steps=dict(student=4, teacher=0)), 'time_steps=0'),
    (dict(type='PackEvents', as_image=['pupil']), 'as_image='), (dict(type='RandomEventFlip', prob=2), 'prob=2'),
    (dict(type='RandomFrameRoll', max_shift=-1), 'max_shift=-1')])
def test_bad_transforms_are_named(cfg, words):
    with pytest.raises(ValueError, match=words):
        TRANSFORMS.build(cfg)


# ---- batches ----

def batch(size=6, collate=default_collate, as_image=False):
    pipeline = [dict(type='EventsToFrames', time_steps=VIEWS), dict(type='PackEvents', as_image=as_image)]
    return collate([run(*pipeline, events=generate_events(300, seed=i)) for i in range(size)])


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_preprocessor_stacks_both_views(collate):
    preprocessor = MODELS.build(dict(type='EventDataPreprocessor', std=2.0))
    out = preprocessor(batch(collate=collate))
    assert out['inputs']['student'].shape == (6, 4, 2, 128, 128)
    assert out['inputs']['teacher'].shape == (6, 16, 2, 128, 128)
    assert out['inputs']['teacher'].sum() == 6 * 300 / 2 and len(out['data_samples']) == 6


def test_preprocessor_averages_frames_to_the_size_asked_for():
    out = MODELS.build(dict(type='EventDataPreprocessor', size=32))(batch(2, as_image=['teacher']))
    student, teacher = out['inputs']['student'], out['inputs']['teacher']
    assert student.shape == (2, 4, 2, 32, 32) and teacher.shape == (2, 32, 32, 32)
    assert student.sum() * 16 == 600
    want = torch.nn.functional.avg_pool2d(batch(2)['inputs']['student'].flatten(0, 1), 4)
    torch.testing.assert_close(student.flatten(0, 1), want)


@pytest.mark.parametrize('as_image', [False, ['teacher'], True])
@pytest.mark.parametrize('augment', [dict(type='mmpretrain.Mixup', alpha=1.0),
                                     dict(type='mmpretrain.CutMix', alpha=1.0)])
def test_one_draw_mixes_both_views_and_the_labels(augment, as_image):
    """Mistake 14: only the student's input was mixed."""
    preprocessor = MODELS.build(dict(type='EventDataPreprocessor', num_classes=8,
                                     batch_augments=dict(augments=augment)))
    data = batch(8, as_image=as_image)
    # Sample i has class i, and every one of its cells holds 2 ** i.
    value = 2.0 ** torch.arange(8)
    data['inputs'] = {name: value.view(8, *[1] * (view.dim() - 1)).expand_as(view).clone()
                      for name, view in data['inputs'].items()}
    for i, sample in enumerate(data['data_samples']):
        sample.set_gt_label(i)
    out = preprocessor(data, training=True)
    score = torch.stack([sample.gt_score for sample in out['data_samples']])
    assert ((score > 0) & (score < 1)).any() and torch.allclose(score.sum(1), torch.ones(8))
    pixels = out['inputs']['student'].flatten(1, -3)[:, :1]
    for view in out['inputs'].values():
        # Every time step and polarity of both views is mixed by the same partner, ratio and box.
        torch.testing.assert_close(view.flatten(1, -3), pixels.expand_as(view.flatten(1, -3)))
    torch.testing.assert_close(pixels.mean((1, 2, 3)), score @ value, rtol=1e-4, atol=1e-4)


def test_nothing_is_mixed_outside_training():
    preprocessor = MODELS.build(dict(type='EventDataPreprocessor', num_classes=10, batch_augments=dict(
        augments=dict(type='mmpretrain.Mixup', alpha=1.0))))
    data = batch()
    out = preprocessor(data, training=False)
    assert all(torch.equal(out['inputs'][view], data['inputs'][view]) for view in VIEWS)


def test_one_view_stays_a_tensor():
    frames = torch.rand(3, 4, 2, 8, 8)
    assert torch.equal(MODELS.build(dict(type='EventDataPreprocessor'))(dict(inputs=frames))['inputs'], frames)


@pytest.mark.parametrize('arguments, words', [
    (dict(std=0.0), 'std=0.0'),
    (dict(batch_augments=dict(augments=dict(type='mmpretrain.Mixup', alpha=1.0))), 'num_classes')])
def test_bad_preprocessor_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        MODELS.build(dict(type='EventDataPreprocessor', **arguments))


def test_views_of_different_size_are_named():
    views = dict(student=torch.rand(2, 4, 2, 8, 8), teacher=torch.rand(2, 16, 2, 4, 4))
    with pytest.raises(ValueError, match=r'\(2, 16, 2, 4, 4\).* differ in height or width'):
        MODELS.build(dict(type='EventDataPreprocessor'))(dict(inputs=views))


# ---- configs ----

@pytest.mark.parametrize('name, classes', [('cifar10_dvs', 10), ('dvs_gesture', 11)])
def test_dataset_configs_build_one_and_two_views(data_root, name, classes):
    cfg = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'datasets' / f'{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = dict(loader.dataset, data_root=str(data_root[0]))
        one = DATASETS.build(dataset)
        assert one[0]['inputs'].shape == (4, 2, 128, 128) and len(one.CLASSES) == classes
        two = DATASETS.build(dict(dataset, pipeline=cfg.views_pipeline))[0]['inputs']
        assert {view: tuple(two[view].shape) for view in two} == {k: tuple(v) for k, v in cfg.views_shape.items()}
    assert MODELS.build(cfg.data_preprocessor).num_classes == classes
