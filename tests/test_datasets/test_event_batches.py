"""From recordings to batches: packing, two views, mixing, the frame cache in a data set, and the configs."""
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, default_collate, pseudo_collate
from torch.utils.data import DataLoader

from bkdsnn.datasets import DigitsDVS, EventFolder, TonicDataset
from bkdsnn.datasets.event_files import write_events
from bkdsnn.datasets.transforms import events_to_frames
from bkdsnn.datasets.transforms.base import EventTransform
from bkdsnn.registry import DATASETS, MODELS, TRANSFORMS
from generated_events import (
    generate_events,
    write_aedat4,
    write_bin,
    write_cifar10_dvs,
    write_dvs_gesture,
    write_ncaltech101,
)
from helpers import REPOSITORY

FRAMES = dict(type='EventsToFrames', time_steps=4)
TWO_VIEWS = dict(type='TwoViews', student=FRAMES, teacher=dict(type='EventsToFrames', time_steps=16))
VIEWS = ('student', 'teacher')


def run(*pipeline, events=None):
    results = dict(events=generate_events(500) if events is None else events, sensor_size=(128, 128, 2), gt_label=3,
                   path='a.aedat4', sample_idx=7)
    for cfg in pipeline:
        results = TRANSFORMS.build(cfg)(results)
    return results


# ---- packing ----

def test_two_views_are_packed_side_by_side():
    packed = run(TWO_VIEWS, dict(type='PackEvents'))
    views = packed['inputs']
    assert views['student'].shape == (4, 2, 128, 128) and views['teacher'].shape == (16, 2, 128, 128)
    assert torch.equal(views['student'].sum(0), views['teacher'].sum(0)) and views['student'].sum() == 500
    sample = packed['data_samples']
    assert sample.gt_label.item() == 3 and sample.path == 'a.aedat4' and sample.sample_idx == 7


@pytest.mark.parametrize('as_image, student, teacher', [
    (False, (4, 2, 128, 128), (16, 2, 128, 128)), (['teacher'], (4, 2, 128, 128), (32, 128, 128)),
    (True, (8, 128, 128), (32, 128, 128))])
def test_views_may_be_packed_as_images(as_image, student, teacher):
    inputs = run(TWO_VIEWS, dict(type='PackEvents', as_image=as_image))['inputs']
    assert inputs['student'].shape == student and inputs['teacher'].shape == teacher
    frames = events_to_frames(generate_events(500), (128, 128, 2), 16)
    np.testing.assert_array_equal(inputs['teacher'].reshape(16, 2, 128, 128), frames)


def test_a_single_view_may_be_packed_as_an_image():
    assert run(FRAMES, dict(type='PackEvents', as_image=True))['inputs'].shape == (8, 128, 128)


# ---- batches ----

def batch(size=6, collate=default_collate, as_image=False):
    pipeline = [TWO_VIEWS, dict(type='PackEvents', as_image=as_image)]
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


# ---- the frame cache in a data set ----

def cached_digits(folder, pipeline=(TWO_VIEWS, dict(type='RandomFrameRoll', max_shift=2)), **options):
    return DigitsDVS('train', labels_per_class=2, pipeline=list(pipeline), cache_dir=str(folder), **options)


def frames_of(dataset, seed=0):
    np.random.seed(seed)
    return [dataset[i]['frames'] for i in range(len(dataset))]


def assert_same(a, b):
    for x, y in zip(a, b):
        for view in VIEWS:
            np.testing.assert_array_equal(x[view], y[view])
            assert x[view].dtype == y[view].dtype


def test_cached_samples_are_those_without_a_cache_and_augmentation_stays_random(tmp_path, monkeypatch):
    plain = DigitsDVS('train', labels_per_class=2, pipeline=[TWO_VIEWS, dict(type='RandomFrameRoll', max_shift=2)])
    dataset = cached_digits(tmp_path)
    want = frames_of(plain)
    assert_same(frames_of(dataset), want)
    monkeypatch.setattr(DigitsDVS, 'read_events', None)  # from now on, events are not even read
    again = cached_digits(tmp_path)
    assert_same(frames_of(again), want)
    other = frames_of(again, seed=1)
    assert any((a['student'] != b['student']).any() for a, b in zip(other, want))
    assert again.cache.size()[0] == 20 and str(again.cache.folder) in repr(again)


@pytest.mark.parametrize('change', [
    dict(camera=dict(noise_rate=2.0)), dict(motion=dict(amplitude=3.0)), dict(seed=1),
    dict(pipeline=[dict(TWO_VIEWS, student=dict(FRAMES, by='time'))])])
def test_whatever_changes_frames_changes_the_cache(tmp_path, change):
    plain = dict(pipeline=[TWO_VIEWS])
    frames_of(cached_digits(tmp_path, **plain))
    changed = {**plain, **change}
    without_cache = DigitsDVS('train', labels_per_class=2, **changed)
    assert_same(frames_of(cached_digits(tmp_path, **changed)), frames_of(without_cache))


@pytest.mark.parametrize('pipeline', [
    [dict(type='RandomEventFlip'), FRAMES], [dict(type='CropTime')], [],
    [dict(type='RandomChoice', transforms=[[FRAMES]])]])
def test_a_cache_of_what_is_random_is_an_error(tmp_path, pipeline):
    with pytest.raises(ValueError, match='must make frames before its first random transform.*cache_dir=None'):
        cached_digits(tmp_path, pipeline)


def test_frames_of_another_sensor_are_not_those_of_the_first(tmp_path):
    write_folder(tmp_path)
    shapes = [EventFolder(str(tmp_path), 'train', size, pipeline=[FRAMES], cache_dir='cache')[0]['frames'].shape
              for size in ((30, 20), (40, 20))]
    assert shapes == [(4, 2, 20, 30), (4, 2, 20, 40)]


def test_a_cache_needs_transforms_that_name_their_arguments(tmp_path):
    class Nameless(EventTransform):
        random = False

        def transform(self, results):
            return results

        __repr__ = object.__repr__

    with pytest.raises(ValueError, match='Nameless object .* does not name the arguments'):
        cached_digits(tmp_path, [FRAMES, Nameless()])


def test_deterministic_steps_before_and_after_framing_are_cached(tmp_path):
    steps = [dict(type='CropTime', stop=200_000), dict(type='ResizeEvents', size=10), TWO_VIEWS]
    dataset = cached_digits(tmp_path, [*steps, dict(type='RandomFrameFlip')])
    assert dataset.cached_steps == 3
    assert frames_of(dataset)[0]['teacher'].shape == (16, 2, 10, 10)


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_fill_a_cache_that_is_relative_to_the_data(tmp_path, workers):
    written = write_dvs_gesture(tmp_path, users=dict(Train=(1, ), Test=(24, )))
    dataset = TonicDataset('DVSGesture', str(tmp_path), 'test', partial=True, pipeline=[FRAMES], cache_dir='cache')
    for _ in range(2):
        loader = DataLoader(dataset, batch_size=None, num_workers=workers)
        for item in loader:
            want = events_to_frames(written[item['path']], (128, 128, 2), 4)
            np.testing.assert_array_equal(item['frames'], want)
    assert dataset.cache.folder.parent == tmp_path / 'cache' and dataset.cache.size()[0] == 11
    path = dataset.get_data_info(0)['path']
    events = np.load(path)
    events[:, 0] = 5
    np.save(path, events)
    assert dataset[0]['frames'].sum() == dataset[0]['frames'][..., 5].sum() > 0  # the file is another one now


# ---- data sets of one's own, and DigitsDVS ----

def test_digits_before_the_camera_are_the_digits(monkeypatch):
    train = DigitsDVS('val', pipeline=[FRAMES])
    monkeypatch.setattr(DigitsDVS, 'made', {})  # as in another process
    again = DigitsDVS('val', pipeline=[FRAMES])
    assert len(train) == 400 and train.metainfo['sensor_size'] == (20, 20, 2) and len(train.CLASSES) == 10
    for i in (0, 7, 399):
        np.testing.assert_array_equal(train[i]['events'], again[i]['events'])
    numbers = [len(train[i]['events']) for i in range(0, 400, 20)]
    assert 1500 < min(numbers) and max(numbers) < 3500
    few = DigitsDVS('val', labels_per_class=3)
    same = next(i for i in range(400) if train.get_data_info(i)['digit_id'] == few[5]['digit_id'])
    np.testing.assert_array_equal(few[5]['events'], train[same]['events'])  # whatever else is made with it
    noisy = DigitsDVS('val', labels_per_class=1, camera=dict(noise_rate=20.0), motion=dict(zoom=1))
    assert len(noisy[0]['events']) != len(few[0]['events'])


def test_digits_are_recorded_once(monkeypatch):
    monkeypatch.setattr(DigitsDVS, 'made', {})
    first = DigitsDVS('val', labels_per_class=1, serialize_data=False)
    times = first[3]['events']['t'].copy()
    first[3]['events']['t'] += 1  # a copy
    monkeypatch.setattr(DigitsDVS, 'record', None)  # from now on, nothing is
    np.testing.assert_array_equal(DigitsDVS('val', labels_per_class=1)[3]['events']['t'], times)
    for other in (dict(camera=dict(threshold=0.3)), dict(motion=dict(zoom=1)), dict(seed=7), dict(labels_per_class=2)):
        with pytest.raises(TypeError):
            DigitsDVS('val', **{**dict(labels_per_class=1), **other})


@pytest.mark.parametrize('options, words', [
    (dict(split='all'), "split='all'"), (dict(split='val', labels_per_class=100), 'labels_per_class=100'),
    (dict(split='val', camera=dict(threshold=-1)), 'threshold=-1'),
    (dict(split='val', motion=dict(zoom=5)), '5 times')])
def test_bad_arguments_of_digits_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        DigitsDVS(**options)


def write_folder(root):
    written = {}
    for split in ('train', 'val'):
        for label, name in enumerate(('cat', 'dog')):
            (root / split / name).mkdir(parents=True)
            writers = ('.npy', write_events), ('.bin', write_bin), ('.aedat4', write_aedat4)
            for i, (suffix, write) in enumerate(writers):
                events = generate_events(60, seed=10 * label + i, size=(30, 20), duration=1000)
                write(root / split / name / f'{i}{suffix}', events)
                written[str(root / split / name / f'{i}{suffix}')] = events
            (root / split / name / 'notes.txt').write_text('not a recording')
    return written


def test_a_folder_of_recordings_in_three_formats(tmp_path):
    written = write_folder(tmp_path)
    dataset = EventFolder(str(tmp_path), 'val', (30, 20), pipeline=[FRAMES])
    assert dataset.CLASSES == ('cat', 'dog') and dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 1, 1]
    for item in dataset:
        np.testing.assert_array_equal(item['frames'], events_to_frames(written[item['path']], (30, 20, 2), 4))


@pytest.mark.parametrize('options, words', [
    (dict(split='test'), 'there is no folder .*test.*Expected'), (dict(classes=['cat', 'cow']), 'cow, dog differ'),
    (dict(sensor_size=(30, )), 'must be .width, height.'), (dict(sensor_size=(10, 20)), 'x outside 0 to 9')])
def test_bad_folders_are_named(tmp_path, options, words):
    write_folder(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        EventFolder(**{**dict(data_root=str(tmp_path), split='train', sensor_size=(30, 20)), **options})[0]


def test_data_sets_of_different_sensors_do_not_mix(tmp_path):
    write_folder(tmp_path)
    datasets = [EventFolder(str(tmp_path), 'train', size) for size in ((30, 20), (40, 20))]
    with pytest.raises(ValueError, match='meta information of the 2-th dataset'):
        ConcatDataset(datasets)


# ---- configs ----

CONFIGS = dict(cifar10_dvs=(write_cifar10_dvs, 10, (128, 128)), dvs_gesture=(write_dvs_gesture, 11, (128, 128)),
               n_caltech101=(write_ncaltech101, 101, (128, 128)))


@pytest.mark.parametrize('name', CONFIGS)
def test_dataset_configs_build_one_and_two_views(tmp_path, name):
    write, classes, size = CONFIGS[name]
    write(tmp_path)
    cfg = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'datasets' / f'{name}.py')
    for loader, views in ((cfg.train_dataloader, cfg.views_train_pipeline), (cfg.val_dataloader, cfg.views_pipeline),
                          (cfg.test_dataloader, cfg.views_pipeline)):
        dataset = dict(loader.dataset, data_root=str(tmp_path), partial=True)
        one = DATASETS.build(dataset)
        assert one[0]['inputs'].shape == (4, 2, *size) and len(one.CLASSES) == classes
        two = DATASETS.build(dict(dataset, pipeline=views))[0]['inputs']
        assert {view: tuple(two[view].shape) for view in two} == {k: tuple(v) for k, v in cfg.views_shape.items()}
    assert MODELS.build(cfg.data_preprocessor).num_classes == classes


@dataclass
class Merged(EventTransform):
    """Halves the classes, and counts the events."""

    random = False

    def transform(self, results):
        return dict(results, gt_label=results['gt_label'] % 2, number=len(results['events']), half=(4, 5))


@dataclass
class Listed(EventTransform):
    random = False

    def transform(self, results):
        return dict(results, many=[1, 2])


@pytest.mark.parametrize('framing', [dict(type='EventsToFrames', time_steps=2), TWO_VIEWS], ids=['one', 'two views'])
def test_what_transforms_set_beside_frames_is_kept_in_the_cache(tmp_path, framing):
    def samples(**options):
        dataset = DigitsDVS('val', labels_per_class=2, pipeline=[Merged(), framing], **options)
        return [dataset[i] for i in range(len(dataset))]

    want = samples()
    assert {sample['gt_label'] for sample in want} == {0, 1}
    for _ in range(2):
        for got, sample in zip(samples(cache_dir=str(tmp_path)), want):
            assert [got[key] for key in ('gt_label', 'number', 'half')] == [
                sample[key] for key in ('gt_label', 'number', 'half')]
            views = sample['frames'] if isinstance(sample['frames'], dict) else {None: sample['frames']}
            for view, frames in views.items():
                np.testing.assert_array_equal(got['frames'] if view is None else got['frames'][view], frames)
    dataset = DigitsDVS('val', labels_per_class=1, pipeline=[Listed(), framing], cache_dir=str(tmp_path))
    with pytest.raises(TypeError, match="have set 'many' to .* which a cache cannot keep. Set cache_dir=None"):
        dataset[0]
