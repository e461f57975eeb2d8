"""Framing: every event is counted once and where it belongs; equal to slow loops and to tonic."""
import numpy as np
import pytest
import tonic
from hypothesis import given, settings
from hypothesis import strategies as st

from bkdsnn.datasets.transforms import events_to_frames
from bkdsnn.datasets.transforms.time_surface import events_to_time_surface
from bkdsnn.datasets.transforms.voxel_grid import events_to_voxel_grid
from bkdsnn.registry import TRANSFORMS
from generated_events import DTYPE, generate_events

SENSOR = (128, 128, 2)


def random_events(number, sensor, duration, is_sorted, seed):
    rng = np.random.default_rng(seed)
    events = np.zeros(number, np.dtype([('t', np.uint64), ('x', np.uint16), ('y', np.uint16), ('p', bool)]))
    for name, limit in zip('xypt', (*sensor, duration)):
        events[name] = rng.integers(0, limit, number)
    return np.sort(events, order='t', kind='stable') if is_sorted else events


def naive_frames(events, sensor_size, time_steps, by, window=None):
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
        elif by == 'time':
            step = next(k for k in range(time_steps) if t - start < (k + 1) * (end - start) / time_steps)
        else:
            step = (t - start) // window
        frames[step, p, y, x] += 1
    return frames


@settings(max_examples=200)
@given(st.integers(0, 60), st.integers(1, 20), st.sampled_from(['count', 'time', 'window']),
       st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 2)), st.integers(1, 50), st.booleans(),
       st.sampled_from(['float32', 'int16', 'uint8', 'float16']), st.integers(0, 2**32 - 1))
def test_frames_count_every_event_once_and_where_it_belongs(number, steps, by, sensor, duration, is_sorted, dtype,
                                                            seed):
    events = random_events(number, sensor, duration, is_sorted, seed)
    window = -(-50 // steps) if by == 'window' else None
    frames = events_to_frames(events, sensor, steps, by, window, dtype=dtype)
    assert frames.shape == (steps, sensor[2], sensor[1], sensor[0]) and frames.dtype == dtype
    assert frames.sum(dtype=float) == number
    np.testing.assert_array_equal(frames, naive_frames(events, sensor, steps, by, window))


@pytest.mark.parametrize('number', [16_000, 200_000])
def test_frames_of_equal_counts_equal_tonics(number):
    events = generate_events(number)
    want = tonic.transforms.ToFrame(SENSOR, n_event_bins=16)(events)
    np.testing.assert_array_equal(events_to_frames(events, SENSOR, 16, dtype='int16'), want)


def test_frames_of_windows_equal_tonics():
    events = generate_events(5000)
    events['t'][0], events['t'][-1] = 0, 999_999
    want = tonic.transforms.ToFrame(SENSOR, time_window=100_000, include_incomplete=True)(events)
    np.testing.assert_array_equal(events_to_frames(events, SENSOR, 10, 'window', 100_000, dtype='int16'), want)
    # Windows of equal duration are the same here, of which tonic's lose the last events of a recording.
    np.testing.assert_array_equal(events_to_frames(events, SENSOR, 10, 'time', dtype='int16'), want)


def test_frames_hold_equally_many_events_as_the_paper_splits_them():
    frames = events_to_frames(generate_events(1003), SENSOR, 4)
    assert frames.sum((1, 2, 3)).tolist() == [250, 250, 250, 253]
    few = events_to_frames(generate_events(3), SENSOR, 5)
    assert few.sum((1, 2, 3)).tolist() == [1, 1, 1, 0, 0]


def test_frames_by_time_are_windows_of_equal_duration():
    events = np.zeros(4, DTYPE)
    events['t'] = [1000, 1001, 1001 + 49, 1099]
    assert events_to_frames(events, (2, 2, 2), 4, 'time').sum((1, 2, 3)).tolist() == [2, 0, 1, 1]


def test_counts_may_be_cut():
    events = generate_events(2000, size=(8, 8))
    counts = events_to_frames(events, (8, 8, 2), 3)
    for most in (1, 4):
        np.testing.assert_array_equal(events_to_frames(events, (8, 8, 2), 3, max_count=most, dtype='uint8'),
                                      np.minimum(counts, most))


@pytest.mark.parametrize('make', [
    lambda events: events_to_frames(events, (6, 5, 2), 3, dtype='uint8'), lambda events: events_to_voxel_grid(
        events, (6, 5, 2), 3, by_polarity=True), lambda events: events_to_time_surface(events, (6, 5, 2), 3, 100.0)])
def test_empty_recordings_are_empty_frames(make):
    frames = make(np.zeros(0, DTYPE))
    assert frames.shape == (3, 2, 5, 6) and not frames.any()


# ---- voxel grid and time surface ----

@settings(max_examples=100)
@given(st.integers(0, 40), st.integers(1, 12), st.booleans(), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_voxel_grid_shares_every_event_between_two_steps(number, steps, by_polarity, duration, seed):
    sensor = (4, 3, 2)
    events = random_events(number, sensor, duration, False, seed)
    grid = events_to_voxel_grid(events, sensor, steps, by_polarity)
    want = np.zeros((steps, 2 if by_polarity else 1, 3, 4))
    t = events['t'].astype(float)
    for i in range(number):
        place = (steps - 1) * (t[i] - t.min()) / max(t.max() - t.min(), 1)
        x, y, p = (int(events[name][i]) for name in 'xyp')
        for k in range(steps):
            weight = max(0.0, 1 - abs(k - place))
            want[k, p if by_polarity else 0, y, x] += weight if by_polarity or p else -weight
    np.testing.assert_allclose(grid, want, atol=1e-5)
    if by_polarity:
        assert grid.sum() == pytest.approx(number, abs=1e-3)


def test_voxel_grid_equals_tonics_but_for_the_scale_of_time():
    """tonic scales times to T, ours to T - 1: T steps of ours are T - 1 of tonic's, and the last one is its loss."""
    events = generate_events(3000)
    want = tonic.transforms.ToVoxelGrid(SENSOR, n_time_bins=7)(events)
    ours = events_to_voxel_grid(events, SENSOR, 8)
    np.testing.assert_allclose(ours[:7], want, atol=1e-4)
    assert ours[7].any()


def test_time_surface_equals_tonics():
    events = generate_events(3000)
    events['t'][0], events['t'][-1] = 0, 799_999
    events['t'] = events['t'].clip(0, 799_999)
    want = tonic.transforms.ToTimesurface(SENSOR, dt=100_000, tau=2e5)(events)
    ours = events_to_time_surface(events, SENSOR, 8, 2e5)
    assert len(want) in (7, 8)  # tonic leaves out an incomplete window
    np.testing.assert_allclose(ours[:len(want)], want, atol=1e-6)
    assert ours.min() == 0 and ours.max() <= 1


# ---- bad input ----

@pytest.mark.parametrize('change, words', [
    (dict(x=128), ['1 of 10 events have x', 'outside 0 to 127', 'event 4', 'x=128']), (dict(y=-1), ['y=-1']),
    (dict(p=2), ['have p', 'outside 0 to 1', 'p=2']), (dict(p=-1), ['p=-1'])])
def test_events_outside_the_sensor_are_an_error(change, words):
    events = generate_events(10)
    for name, value in change.items():
        events[name][4] = value
    for make in (lambda: events_to_frames(events, SENSOR, 2), lambda: events_to_voxel_grid(events, SENSOR, 2),
                 lambda: events_to_time_surface(events, SENSOR, 2, 10.0)):
        with pytest.raises(ValueError) as error:
            make()
        assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize('arguments, words', [
    (dict(time_steps=0), 'time_steps=0'), (dict(time_steps=2.0), 'time_steps=2.0'), (dict(by='number'), "by='number'"),
    (dict(events=np.zeros(3)), 'integer fields x, y, t'),
    (dict(events=np.zeros(3, [('x', int), ('y', int), ('p', int), ('t', float)])), 'integer fields x, y, t'),
    (dict(events=np.zeros(300, DTYPE), dtype='uint8', time_steps=1), '300 events in one frame, which uint8'),
    (dict(by='window'), 'window=None'), (dict(window=10), "window=10 with by='count'"),
    (dict(by='window', window=0), 'window=0'), (dict(max_count=0), 'max_count=0'), (dict(dtype='bool'), "dtype='bool'"),
    (dict(by='window', window=100), r'needs \d+ windows of window=100 us, but time_steps=2.*CropTime\(stop=200\)')])
def test_bad_frame_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        events_to_frames(**{**dict(events=generate_events(5), sensor_size=SENSOR, time_steps=2), **arguments})


@pytest.mark.parametrize('arguments, words', [
    (dict(time_steps=0), 'time_steps=0'), (dict(by='number'), "by='number'"), (dict(window=10), 'window=10'),
    (dict(max_count=0), 'max_count=0'), (dict(dtype='bool'), "dtype='bool'")])
def test_bad_framing_is_named_when_it_is_built(arguments, words):
    with pytest.raises(ValueError, match=f'EventsToFrames: .*{words}'):
        TRANSFORMS.build({**dict(type='EventsToFrames', time_steps=2), **arguments})


@pytest.mark.parametrize('cfg, words', [(dict(type='EventsToVoxelGrid', time_steps=0), 'time_steps=0'),
                                        (dict(type='EventsToTimeSurface', time_steps=2, tau=0), 'tau=0')])
def test_bad_representations_are_named(cfg, words):
    with pytest.raises(ValueError, match=f'{cfg["type"]}: .*{words}'):
        TRANSFORMS.build(cfg)
