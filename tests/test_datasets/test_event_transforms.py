"""Transforms of events and frames: against tonic, torchvision and slow loops, and what holds for all of them."""
import inspect
from collections import OrderedDict

import numpy as np
import pytest
import tonic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode

from bkdsnn.datasets import transforms
from bkdsnn.datasets.event_camera import DTYPE as CAMERA_DTYPE
from bkdsnn.datasets.transforms import frame_augment, geometry, noise
from bkdsnn.registry import TRANSFORMS
from generated_events import generate_events

SENSOR = (30, 20, 2)
AEDAT4 = np.dtype([('t', np.uint64), ('x', np.uint16), ('y', np.uint16), ('p', bool)])
PADDED = np.dtype(dict(names=['t', 'x', 'y', 'p'], formats=['<u8', '<u2', '<u2', '?'], offsets=[0, 8, 10, 12],
                       itemsize=16))
GESTURE = np.dtype([('x', np.int16), ('y', np.int16), ('p', bool), ('t', np.int64)])

FRAMING = dict(type='EventsToFrames', time_steps=4)
VIEWS = dict(type='TwoViews', student=FRAMING, teacher=dict(FRAMING, time_steps=16))
# An example of each transform; of those with a direction, both.
ON_EVENTS = [
    dict(type='CenterEventCrop', size=(16, 40)), dict(type='CropTime', start=1000, stop=200_000),
    dict(type='Denoise', filter_time=20_000), dict(type='MergePolarities'), dict(type='RandomAreaDrop', max_ratio=0.9),
    dict(type='RandomEventCrop', size=10), dict(type='RandomEventDrop'), dict(type='RandomEventFlip'),
    dict(type='RandomEventFlip', direction='vertical'), dict(type='RandomEventRoll'), dict(type='RandomEventRotate'),
    dict(type='RandomEventScale'), dict(type='RandomPolarityFlip'), dict(type='RandomSpatialJitter'),
    dict(type='RandomTimeDrop'), dict(type='RandomTimeJitter'), dict(type='RandomTimeReversal'),
    dict(type='ResizeEvents', size=(9, 45))
]
TO_FRAMES = [FRAMING, VIEWS, dict(type='EventsToVoxelGrid', time_steps=4),
             dict(type='EventsToTimeSurface', time_steps=4, tau=5e4)]
ON_FRAMES = [
    dict(type='RandomFrameCutout', max_area=0.5), dict(type='RandomFrameFlip'),
    dict(type='RandomFrameFlip', direction='vertical'), dict(type='RandomFrameRoll'), dict(type='RandomFrameRotate'),
    dict(type='RandomFrameShear'), dict(type='RandomFrameShear', direction='vertical'),
    dict(type='RandomFrameTranslate'), dict(type='RandomFrameTranslate', direction='vertical')
]
OTHERS = [dict(type='RandomTimeSteps', keep=2), dict(type='PackEvents')]
GEOMETRIC_EVENTS = ['RandomEventFlip', 'RandomEventRoll', 'RandomEventRotate', 'RandomEventScale', 'RandomEventCrop']


def ids(cfgs):
    return [f'{cfg["type"]}-{cfg.get("direction", "")}' for cfg in cfgs]


def recording(number=400, dtype=None, seed=0, size=SENSOR):
    events = generate_events(number, seed=seed, size=size, duration=300_000)
    if dtype is None:
        return events
    narrow = np.zeros(number, dtype)
    for name in dtype.names:
        narrow[name] = events[name]
    return narrow


def sample(events=None, **more):
    return dict(events=recording() if events is None else events, sensor_size=SENSOR, gt_label=3, path='a.bin', **more)


def run(*pipeline, events=None, seed=0):
    np.random.seed(seed)
    results = sample(events)
    for cfg in pipeline:
        results = TRANSFORMS.build(cfg)(results)
    return results


# ---- what holds for all ----

def test_examples_are_complete():
    classes = {name for name in transforms.__all__ if inspect.isclass(getattr(transforms, name))}
    classes -= {'EventTransform', 'CentralSquare'}
    assert {cfg['type'] for cfg in (*ON_EVENTS, *TO_FRAMES, *ON_FRAMES, *OTHERS)} == classes


@pytest.mark.parametrize('dtype', [AEDAT4, PADDED, GESTURE, CAMERA_DTYPE, None],
                         ids=['aedat4', 'padded', 'gesture', 'camera', 'int64'])
@pytest.mark.parametrize('number', [0, 1, 400])
@pytest.mark.parametrize('cfg', ON_EVENTS, ids=ids(ON_EVENTS))
def test_events_stay_sorted_inside_the_sensor_and_of_their_type(cfg, number, dtype):
    events = recording(number, dtype)
    before = events.copy()
    for seed in range(3):
        results = run(cfg, events=events, seed=seed)
        after, sensor = results['events'], results['sensor_size']
        assert after.dtype == events.dtype and len(after) <= number and results['gt_label'] == 3
        assert (np.diff(after['t'].astype(np.int64)) >= 0).all()
        for field, size in zip('xyp', sensor):
            assert ((after[field].astype(np.int64) >= 0) & (after[field].astype(np.int64) < size)).all()
        np.testing.assert_array_equal(events, before)  # the data set's array is left alone
    for framing in TO_FRAMES:
        TRANSFORMS.build(framing)(dict(results))


@pytest.mark.parametrize('cfg', [*ON_EVENTS, *TO_FRAMES], ids=ids([*ON_EVENTS, *TO_FRAMES]))
def test_what_is_not_random_is_the_same_twice_and_what_is_random_is_not(cfg):
    transform = TRANSFORMS.build(cfg)
    key = 'frames' if transform.makes_frames else 'events'

    def outputs():
        out = [run(cfg, seed=seed)[key] for seed in range(12)]
        return [o['teacher'] if isinstance(o, dict) else o for o in out]

    first, *others = outputs()
    same = [np.array_equal(first, other) for other in others]
    assert not all(same) if transform.random else all(same)
    assert transform.makes_frames == (cfg in TO_FRAMES)


@pytest.mark.parametrize('cfg', [*ON_EVENTS, *TO_FRAMES, *ON_FRAMES, *OTHERS],
                         ids=ids([*ON_EVENTS, *TO_FRAMES, *ON_FRAMES, *OTHERS]))
def test_repr_names_every_argument_as_a_frame_cache_needs(cfg):
    transform = TRANSFORMS.build(cfg)
    for name in inspect.signature(type(transform)).parameters:
        assert f'{name}=' in repr(transform)


@pytest.mark.parametrize('cfg', ON_FRAMES, ids=ids(ON_FRAMES))
def test_frame_augmentation_is_one_draw_for_all_frames_of_both_views(cfg):
    plain = run(VIEWS)['frames']
    seen = set()
    for seed in range(12):
        np.random.seed(seed)
        before = {view: frames.copy() for view, frames in plain.items()}
        views = TRANSFORMS.build(cfg)(dict(frames=plain))['frames']
        np.testing.assert_array_equal(views['student'].sum(0), views['teacher'].sum(0))
        for view in views:
            assert views[view].shape == plain[view].shape and views[view].dtype == plain[view].dtype
            np.testing.assert_array_equal(plain[view], before[view])
            torch.from_numpy(views[view])
        np.random.seed(seed)
        alone = TRANSFORMS.build(cfg)(dict(frames=plain['student'][2:3]))['frames']
        np.testing.assert_array_equal(alone[0], views['student'][2])
        seen.add(views['student'].tobytes())
    assert len(seen) > 1


@pytest.mark.parametrize('cfg', [cfg for cfg in ON_EVENTS if cfg['type'] in GEOMETRIC_EVENTS],
                         ids=ids([cfg for cfg in ON_EVENTS if cfg['type'] in GEOMETRIC_EVENTS]))
def test_event_augmentation_is_one_draw_for_both_views(cfg):
    views = run(cfg, VIEWS, seed=3)['frames']
    np.testing.assert_array_equal(views['student'].sum(0), views['teacher'].sum(0))


def test_choice_of_neuromorphic_augmentation_is_built_by_mmcv(monkeypatch):
    """SNNAugmentWide of the authors' event runs: one of six per sample."""
    choice = dict(type='RandomChoice', transforms=[
        [dict(type='RandomFrameShear', max_shear=0.3)], [dict(type='RandomFrameTranslate', max_shift=5)],
        [dict(type='RandomFrameTranslate', max_shift=5, direction='vertical')],
        [dict(type='RandomFrameRotate', max_degrees=30)], [dict(type='RandomFrameCutout', max_area=0.11)], []])
    plain = run(VIEWS)['frames']['student']
    augmented = [run(VIEWS, choice, seed=seed)['frames'] for seed in range(60)]
    for views in augmented:
        np.testing.assert_array_equal(views['student'].sum(0), views['teacher'].sum(0))
    unchanged = sum(np.array_equal(views['student'], plain) for views in augmented)
    assert 2 <= unchanged <= 30
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    DefaultScope.get_instance('test', scope_name='bkdsnn')
    TRANSFORMS.build(choice)


# ---- geometry ----

def pixels(events):
    return set(zip(events['x'].tolist(), events['y'].tolist(), events['t'].tolist()))


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_flipping_twice_is_nothing_and_equals_flipping_frames(direction):
    events = recording()
    flipped = geometry.flip_events(events, SENSOR, direction)
    np.testing.assert_array_equal(geometry.flip_events(flipped, SENSOR, direction), events)
    axis = -1 if direction == 'horizontal' else -2
    frames = [transforms.events_to_frames(e, SENSOR, 4) for e in (events, flipped)]
    np.testing.assert_array_equal(np.flip(frames[0], axis), frames[1])
    always = run(FRAMING, dict(type='RandomFrameFlip', prob=1.0, direction=direction))
    np.testing.assert_array_equal(always['frames'], frames[1])
    assert always['flip'] is True and run(dict(type='RandomEventFlip', prob=0.0))['flip'] is False


@settings(max_examples=50)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_rolling_loses_nothing_and_rolls_back(dx, dy):
    events = recording(50, AEDAT4)
    rolled = geometry.roll_events(events, SENSOR, dx, dy)
    np.testing.assert_array_equal(geometry.roll_events(rolled, SENSOR, -dx, -dy), events)
    np.testing.assert_array_equal(transforms.events_to_frames(rolled, SENSOR, 2),
                                  np.roll(transforms.events_to_frames(events, SENSOR, 2), (dy, dx), (-2, -1)))


def test_crops_equal_tonics():
    events = recording(dtype=CAMERA_DTYPE)
    ours = run(dict(type='CenterEventCrop', size=(12, 16)), events=events)
    want = tonic.transforms.CenterCrop(SENSOR, (16, 12))(events.copy())
    np.testing.assert_array_equal(ours['events'], want)
    assert ours['sensor_size'] == (16, 12, 2)
    larger = run(dict(type='CenterEventCrop', size=40))
    assert len(larger['events']) == 400 and larger['sensor_size'] == (40, 40, 2)
    crop = run(dict(type='RandomEventCrop', size=(12, 16)), events=events)['events']
    offsets = [(left, top) for left in range(15) for top in range(9)
               if np.array_equal(geometry.crop_events(events, left, top, 16, 12), crop)]
    assert len(offsets) == 1


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60))
def test_resizing_keeps_every_event(width, height):
    events = recording(200, AEDAT4)
    resized = geometry.resize_events(events, SENSOR, width, height)
    assert len(resized) == 200 and resized['x'].max() < width and resized['y'].max() < height
    np.testing.assert_array_equal(resized['x'], [int(x) * width // 30 for x in events['x']])
    half = geometry.resize_events(events, SENSOR, 15, 10)
    frames = transforms.events_to_frames(events, SENSOR, 2).reshape(2, 2, 10, 2, 15, 2).sum((3, 5))
    np.testing.assert_array_equal(transforms.events_to_frames(half, (15, 10, 2), 2), frames)


def test_a_quarter_turn_and_scaling_move_events_where_they_belong():
    square = (21, 21, 2)
    events = recording(300, size=square)
    turned = geometry.map_events(events, square, geometry.rotation(90))
    np.testing.assert_array_equal(turned['x'], 20 - events['y'])
    np.testing.assert_array_equal(turned['y'], events['x'])
    half = geometry.map_events(events, square, 0.5 * np.eye(2))
    np.testing.assert_array_equal(half['x'], np.round((events['x'] - 10) / 2 + 10))
    twice = geometry.map_events(events, square, 2 * np.eye(2))
    inside = (np.abs(events['x'] - 10) <= 5) & (np.abs(events['y'] - 10) <= 5)
    assert len(twice) == inside.sum()
    still = geometry.map_events(events, square, np.eye(2))
    np.testing.assert_array_equal(still, events)


@pytest.mark.parametrize('degrees', [-30.0, -7.3, 12.5, 90.0])
def test_frames_turn_as_in_torchvision(degrees):
    frames = np.random.default_rng(0).random((3, 2, 21, 31), np.float32)
    ours = frame_augment.warp_frames(frames, geometry.rotation(degrees))
    want = F.rotate(torch.from_numpy(frames), -degrees, InterpolationMode.NEAREST).numpy()
    assert (ours != want).mean() < 0.02  # pixels half-way between two


@pytest.mark.parametrize('shear', [-0.3, 0.1, 0.25])
def test_frames_shear_as_in_torchvision(shear):
    frames = np.random.default_rng(0).random((3, 2, 20, 30), np.float32)
    ours = frame_augment.warp_frames(frames, np.array([[1, shear], [0, 1]]))
    want = F.affine(torch.from_numpy(frames), 0.0, [0, 0], 1.0, [-np.rad2deg(np.arctan(shear)), 0.0],
                    InterpolationMode.NEAREST).numpy()
    np.testing.assert_array_equal(ours, want)


@pytest.mark.parametrize('shift', [-30, -5, -1, 0, 3, 25, 27, 40])
@pytest.mark.parametrize('axis', [-1, -2])
def test_translated_frames_have_zeros_behind_them(shift, axis):
    frames = np.random.default_rng(0).random((2, 2, 26, 27)) + 1
    shifted = frame_augment.shift_frames(frames, shift, axis)
    moved, source = np.moveaxis(shifted, axis, 0), np.moveaxis(frames, axis, 0)
    for i in range(len(moved)):
        want = source[i - shift] if 0 <= i - shift < len(source) else 0
        np.testing.assert_array_equal(moved[i], np.broadcast_to(want, moved[i].shape))


def test_cutout_is_a_square_of_zeros():
    frames = np.ones((2, 2, 10, 12))
    cut = frame_augment.cut_out(frames, 2, 6, 4)
    want = np.ones((10, 12))
    want[6:10, 2:6] = 0
    assert (cut == want).all()


def test_cutout_takes_half_of_its_largest_area_on_average():
    """As the authors' RandomErasing with scale (0.001, 0.11), whose squares lie inside."""
    cutout, frames = TRANSFORMS.build(dict(type='RandomFrameCutout', max_area=0.11)), np.ones((1, 1, 128, 128))
    np.random.seed(0)
    cuts = [cutout(dict(frames=frames))['frames'][0, 0] == 0 for _ in range(300)]
    areas = [cut.mean() for cut in cuts]
    assert max(areas) <= 0.112 and np.mean(areas) == pytest.approx(0.055, abs=0.006)
    for cut in cuts:
        rows, columns = cut.any(1).sum(), cut.any(0).sum()
        assert rows == columns and rows * columns == cut.sum()


# ---- dropping and noise ----

def test_events_are_dropped_where_they_should_be():
    events = recording()
    for seed in range(5):
        area = run(dict(type='RandomAreaDrop', max_ratio=0.8), seed=seed)['events']
        gone = pixels(events) - pixels(area)
        if gone:
            box = [[min(values), max(values)] for values in list(zip(*gone))[:2]]
            assert not [e for e in area if box[0][0] <= e['x'] <= box[0][1] and box[1][0] <= e['y'] <= box[1][1]]
        time = run(dict(type='RandomTimeDrop', max_ratio=0.8), seed=seed)['events']
        gone = sorted(t for _, _, t in pixels(events) - pixels(time))
        assert not gone or not ((time['t'] >= gone[0]) & (time['t'] <= gone[-1])).any()
        assert pixels(run(dict(type='RandomEventDrop'), seed=seed)['events']) <= pixels(events)
    ratios = [1 - len(run(dict(type='RandomEventDrop', max_ratio=0.6), seed=seed)['events']) / 400
              for seed in range(40)]
    assert max(ratios) < 0.7 and 0.2 < np.mean(ratios) < 0.4


def test_time_is_cut_from_the_first_event_on():
    events = recording()
    cut = run(dict(type='CropTime', start=50_000, stop=100_000))['events']
    elapsed = events['t'] - events['t'][0]
    np.testing.assert_array_equal(cut, events[(elapsed >= 50_000) & (elapsed < 100_000)])
    np.testing.assert_array_equal(run(dict(type='CropTime'))['events'], events)


@pytest.mark.parametrize('filter_time', [100, 5_000, 50_000])
def test_denoising_equals_tonics(filter_time):
    events = recording(600)
    events['t'] += 2 * filter_time  # before that, tonic's memory is not empty
    ours = noise.denoise_events(events, SENSOR, filter_time)
    np.testing.assert_array_equal(ours, tonic.functional.denoise_numpy(events, filter_time))
    assert 0 < len(ours) < 600 or filter_time == 100


def test_jitter_has_the_deviation_asked_for():
    events = recording(20_000, size=(1, 1))
    events['x'], events['y'] = 15, 10
    moved = run(dict(type='RandomSpatialJitter', std=2.0), events=events)['events']
    assert abs(moved['x'].std() - 2) < 0.1 and abs(moved['y'].mean() - 10) < 0.1
    later = run(dict(type='RandomTimeJitter', std=500.0))['events']
    assert later['t'].min() >= recording()['t'].min() and not np.array_equal(later['t'], recording()['t'])
    events['t'] = np.repeat([0, 10**6], 10_000)
    assert abs(run(dict(type='RandomTimeJitter', std=500.0), events=events)['events']['t'][10_000:].std() - 500) < 20


# ---- polarity, time, steps ----

def test_a_reversed_recording_reversed_is_the_recording():
    reverse = dict(type='RandomTimeReversal', prob=1.0)
    events = recording(dtype=GESTURE)
    backwards = run(reverse, events=events)['events']
    np.testing.assert_array_equal(run(reverse, events=backwards)['events'], events)
    frames, reversed_frames = (run(dict(FRAMING, by='time', time_steps=1), events=e)['frames'] for e in
                               (events, backwards))
    np.testing.assert_array_equal(frames[:, ::-1], reversed_frames)
    kept = run(dict(reverse, flip_polarities=False), events=events)['events']
    np.testing.assert_array_equal(kept['p'], events['p'][::-1])


def test_polarities_are_flipped_and_merged():
    events = recording()
    np.testing.assert_array_equal(run(dict(type='RandomPolarityFlip', prob=1.0))['events']['p'], 1 - events['p'])
    merged = run(dict(type='MergePolarities'), FRAMING)
    assert merged['frames'].shape == (4, 1, 20, 30)
    np.testing.assert_array_equal(merged['frames'][:, 0], run(FRAMING)['frames'].sum(1))
    for cfg in (dict(type='RandomPolarityFlip'), dict(type='RandomTimeReversal')):
        with pytest.raises(ValueError, match=f'{cfg["type"]}: events have 1 polarities'):
            run(dict(type='MergePolarities'), cfg)


def test_random_time_steps_keep_their_order():
    frames = run(dict(FRAMING, time_steps=16))['frames']
    chosen = run(dict(FRAMING, time_steps=16), dict(type='RandomTimeSteps', keep=5))['frames']
    places = [next(i for i, frame in enumerate(frames) if np.array_equal(frame, kept)) for kept in chosen]
    assert len(places) == 5 and places == sorted(set(places))
    views = run(VIEWS, dict(type='RandomTimeSteps', keep=5, view='teacher'))['frames']
    assert len(views['student']) == 4 and len(views['teacher']) == 5
    for wrong, words in (((VIEWS, dict(type='RandomTimeSteps', keep=2)), 'view=None but frames are of student and'),
                         ((FRAMING, dict(type='RandomTimeSteps', keep=2, view='student')), 'of one view'),
                         ((FRAMING, dict(type='RandomTimeSteps', keep=5)), 'keep=5 of only 4')):
        with pytest.raises(ValueError, match=words):
            run(*wrong)


def test_two_views_are_framings_of_the_same_events():
    views = run(dict(type='TwoViews', student=FRAMING, teacher=dict(type='EventsToVoxelGrid', time_steps=9)))['frames']
    np.testing.assert_array_equal(views['student'], run(FRAMING)['frames'])
    assert views['teacher'].shape == (9, 1, 20, 30)


# ---- bad arguments ----

@pytest.mark.parametrize('cfg, words', [
    (dict(type='RandomEventFlip', prob=2), 'prob=2 must be a number, between 0 and 1'),
    (dict(type='RandomEventFlip', direction='up'), "direction='up'.*horizontal"),
    (dict(type='RandomFrameRoll', max_shift=-1), 'max_shift=-1 must be a whole number, at least 0'),
    (dict(type='RandomFrameShear', max_shear='much'), "max_shear='much'"),
    (dict(type='RandomEventScale', low=1.5), 'high=1.2 must be a number, at least 1.5'),
    (dict(type='RandomEventCrop', size=(0, 3)), r'size=\(0, 3\)'), (dict(type='ResizeEvents', size='small'), 'size='),
    (dict(type='CropTime', start=5, stop=5), 'stop=5 must be a whole number, at least 6'),
    (dict(type='RandomTimeSteps', keep=0), 'keep=0 must be a whole number, at least 1'),
    (dict(type='RandomTimeSteps', keep=2.5), 'keep=2.5'), (dict(type='CropTime', start=1.5), 'start=1.5'),
    (dict(type='RandomFrameRoll', max_shift=2.5), 'max_shift=2.5'),
    (dict(type='RandomFrameShear', max_shear=float('inf')), 'max_shear=inf'),
    (dict(type='RandomTimeSteps', keep=2, view='x'), "view='x'"),
    (dict(type='RandomEventDrop', max_ratio=1.5), 'max_ratio=1.5'),
    (dict(type='Denoise', filter_time=0), 'filter_time=0'),
    (dict(type='TwoViews', student=FRAMING, teacher=dict(type='RandomEventFlip')), 'teacher=RandomEventFlip draws'),
    (dict(type='TwoViews', student=dict(type='CropTime'), teacher=FRAMING), 'student=CropTime makes no frames'),
    (dict(type='PackEvents', as_image=['pupil']), 'as_image=')])
def test_bad_arguments_are_named(cfg, words):
    with pytest.raises(ValueError, match=f'{cfg["type"]}: .*{words}'):
        TRANSFORMS.build(cfg)


@pytest.mark.parametrize('transform', ['ResizeEvents', 'CenterEventCrop'])
def test_a_size_that_the_events_cannot_hold_is_named(transform):
    narrow = recording(dtype=np.dtype([('x', np.uint8), ('y', np.uint8), ('t', np.int64), ('p', np.uint8)]))
    with pytest.raises(ValueError, match='300x20 pixels does not fit the field x of the events, which is uint8'):
        run(dict(type=transform, size=(20, 300)), events=narrow)
    assert len(run(dict(type=transform, size=(20, 256)), events=narrow)['events']) == 400


def test_a_crop_larger_than_the_sensor_is_named():
    with pytest.raises(ValueError, match='larger than the sensor, 20x30'):
        run(dict(type='RandomEventCrop', size=25))
