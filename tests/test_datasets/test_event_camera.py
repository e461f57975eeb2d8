"""The simulated event camera against closed forms and a slow simulation of one pixel."""
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bkdsnn.datasets.event_camera import EventCamera, crossings, saccades

IDEAL = dict(threshold_mismatch=0.0, refractory_period=0.0, noise_rate=0.0)


def one_pixel(signal, times, on=0.2, off=0.2, refractory_period=0.0):
    """Times and polarities of a single pixel, in order."""
    _, t, p = crossings(np.asarray(signal, float)[:, None], np.asarray(times, float), np.array([on]), np.array([off]),
                        refractory_period)
    order = np.argsort(t, kind='stable')
    return t[order], p[order]


def naive_pixel(signal, times, on, off, refractory_period):
    """The same, by walking along the signal; and how far it is from another result, by a hair's breadth or more."""
    events, reference, release, margin = [], signal[0], -np.inf, np.inf
    for t0, t1, before, after in zip(times, times[1:], signal, signal[1:]):
        now = t0

        def level(t, t0=t0, t1=t1, before=before, after=after):
            return before + (after - before) * (t - t0) / (t1 - t0)

        while True:
            if release > now:
                margin = min(margin, abs(release - t1))
                if release > t1:
                    break
                now, reference = release, level(release)
            target = reference + (on if after > before else -off)
            margin = min(margin, abs(after - target))
            if after == before or (after < target if after > before else after > target):
                break
            now = t0 + (target - before) * (t1 - t0) / (after - before)
            events.append((now, after > before))
            reference, release = target, now + refractory_period if refractory_period else -np.inf
    return events, margin


@pytest.mark.parametrize('slope', [1.0, -1.0])
@pytest.mark.parametrize('refractory_period', [0.0, 0.05])
def test_a_ramp_makes_evenly_spaced_events(slope, refractory_period):
    t, p = one_pixel([0.0, 2.05 * slope], [0.0, 2.05], refractory_period=refractory_period)
    spacing = 0.2 + refractory_period
    np.testing.assert_allclose(t, 0.2 + spacing * np.arange(len(t)))
    assert len(t) == int((2.05 - 0.2) / spacing) + 1 and (p == (slope > 0)).all()


@pytest.mark.parametrize('threshold', [0.1, 0.2, 0.3])
@pytest.mark.parametrize('number', [1, 3, 5, 6, 15])
def test_levels_reached_at_the_very_end_count_once(threshold, number):
    # In floating point, most of these sums of thresholds are a little off the level.
    end = number * threshold
    samples = np.arange(number + 1)
    for signal, times in (([0.0, end], [0, 1000 * number]), (samples * threshold, samples * 1000)):
        t, _ = one_pixel(signal, times, on=threshold)
        np.testing.assert_allclose(t, 1000 * samples[1:])


def test_time_stamps_are_not_rounded_into_the_microsecond_before():
    camera = EventCamera(1, 1, threshold=0.2, **IDEAL)
    (events, ) = camera.record(np.array([0.0, 3.0]).reshape(2, 1, 1, 1), np.array([0, 30000]),
                               [np.random.default_rng(0)])
    assert events['t'].tolist() == list(range(2000, 30001, 2000))


def test_a_constant_signal_makes_none_and_a_turn_makes_both():
    assert len(one_pixel([1.0, 1.0, 1.0], [0, 1, 2])[0]) == 0
    t, p = one_pixel([0.0, 0.5, 0.0], [0, 1, 2], on=0.2, off=0.3)
    # Up through 0.2 and 0.4; the reference is then 0.4, and 0.1 is reached on the way down.
    np.testing.assert_allclose(t, [0.4, 0.8, 1.8])
    assert p.tolist() == [True, True, False]


def test_after_the_rest_the_reference_is_the_level_then():
    t, p = one_pixel([0.0, 0.3, -0.45], [0, 1, 2], refractory_period=1.0)
    # Rises through 0.2 at 2/3, rests until 5/3, where the level is -0.2; -0.4 is then reached at 29/15.
    np.testing.assert_allclose(t, [2 / 3, 29 / 15])
    assert p.tolist() == [True, False]


@settings(max_examples=200)
@given(st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=12), st.floats(0.05, 0.5), st.floats(0.05, 0.5),
       st.sampled_from([0.0, 0.03, 0.4, 2.5]))
def test_pixel_equals_the_walk_along_its_signal(signal, on, off, refractory_period):
    times = np.cumsum(np.linspace(0.5, 1.5, len(signal)))
    t, p = one_pixel(signal, times, on, off, refractory_period)
    want, margin = naive_pixel(signal, times, on, off, refractory_period)
    assume(margin > 1e-6)  # a signal that just touches a threshold may cross it or not, by rounding
    np.testing.assert_allclose(t, [time for time, _ in want], atol=1e-6)
    assert p.tolist() == [up for _, up in want]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 700.0]), st.sampled_from([0.0, 50.0]))
def test_recordings_are_sorted_inside_the_sensor_and_rest(seed, refractory_period, noise_rate):
    rng = np.random.default_rng(seed)
    camera = EventCamera(5, 4, refractory_period=refractory_period, noise_rate=noise_rate, seed=seed % 7)
    signal, times = rng.uniform(-1, 1, (6, 2, 4, 5)), np.arange(6) * 3000
    for events in camera.record(signal, times, [rng, rng]):
        assert (np.diff(events['t']) >= 0).all() and set(events['p'].tolist()) <= {0, 1}
        for field, size in (('x', 5), ('y', 4), ('t', times[-1] + 1)):
            assert ((events[field] >= 0) & (events[field] < size)).all()
        if not noise_rate:
            for pixel in range(20):
                t = events['t'][(events['x'] == pixel % 5) & (events['y'] == pixel // 5)]
                assert (np.diff(t) >= refractory_period - 1).all()


def test_events_reconstruct_the_signal_to_one_threshold():
    rng = np.random.default_rng(0)
    camera = EventCamera(6, 5, **IDEAL)
    signal, times = rng.uniform(-1, 1, (8, 1, 5, 6)), np.arange(8) * 1000
    (events, ) = camera.record(signal, times, [rng])
    for sample, time in zip(signal[:, 0], times):
        reference = signal[0, 0].copy()
        past = events[events['t'] < time]
        np.add.at(reference, (past['y'], past['x']), np.where(past['p'] == 1, 0.2, -0.2))
        assert (np.abs(reference - sample) <= 0.2 + 1e-2).all()


def test_more_samples_of_the_same_lines_change_nothing():
    rng = np.random.default_rng(1)
    camera = EventCamera(6, 5, noise_rate=0.0)
    signal, times = rng.uniform(-1, 1, (5, 1, 5, 6)), np.arange(5) * 4000
    finer = np.arange(4 * 8 + 1) * 500
    fine = np.stack([[np.interp(finer, times, signal[:, 0, y, x]) for x in range(6)] for y in range(5)])
    (coarse, ), (dense, ) = (camera.record(s, t, [rng]) for s, t in
                             ((signal, times), (fine.transpose(2, 0, 1)[:, None], finer)))
    assert len(coarse) == len(dense) > 100
    order = [np.lexsort((e['t'], e['y'], e['x'])) for e in (coarse, dense)]
    for field in 'xyp':
        np.testing.assert_array_equal(coarse[field][order[0]], dense[field][order[1]])
    np.testing.assert_allclose(coarse['t'][order[0]], dense['t'][order[1]], atol=1)


def test_scenes_do_not_depend_on_their_neighbours():
    signal, times = saccades(np.random.default_rng(0).random((3, 8, 8)), (20, 20))
    camera = EventCamera(20, 20)

    def rngs(*ids):
        return [np.random.default_rng([7, i]) for i in ids]
    together = camera.record(signal, times, rngs(0, 1, 2))
    for i in range(3):
        np.testing.assert_array_equal(camera.record(signal[:, i:i + 1], times, rngs(i))[0], together[i])


def test_background_events_are_as_many_as_asked_for():
    camera = EventCamera(40, 30, noise_rate=5.0)
    (events, ) = camera.record(np.zeros((2, 1, 30, 40)), np.array([0, 1_000_000]), [np.random.default_rng(0)])
    expected = 40 * 30 * 5
    assert abs(len(events) - expected) < 4 * expected**0.5
    assert abs(events['p'].mean() - 0.5) < 0.03 and abs(events['t'].mean() - 5e5) < 2e4


def test_thresholds_differ_as_asked_for_and_belong_to_the_sensor():
    thresholds = EventCamera(100, 80, threshold=0.3, threshold_mismatch=0.04).thresholds()
    assert abs(thresholds.std() - 0.04) < 0.001 and abs(thresholds.mean() - 0.3) < 0.001
    assert abs(np.corrcoef(thresholds.reshape(2, -1))[0, 1]) < 0.05
    np.testing.assert_array_equal(thresholds, EventCamera(100, 80, threshold=0.3, threshold_mismatch=0.04).thresholds())
    assert (EventCamera(100, 80, threshold_mismatch=1.0).thresholds() >= 0.01).all()


def test_a_bright_bar_moving_down_brightens_below_and_darkens_above():
    image = np.zeros((1, 8, 8))
    image[:, 3:5] = 1
    signal, times = saccades(image, (20, 20))
    first = times <= 100_000  # the first saccade goes down, by the amplitude
    (events, ) = EventCamera(20, 20, **IDEAL).record(signal[first], times[first], [np.random.default_rng(0)])
    rows = {p: events['y'][events['p'] == p].mean() for p in (0, 1)}
    assert rows[1] - rows[0] == pytest.approx(4, abs=0.6)


def test_pictures_come_back_to_where_they_began():
    signal, times = saccades(np.random.default_rng(0).random((2, 8, 8)), (22, 20), zoom=2)
    assert signal.shape == (76, 2, 20, 22) and times[-1] == 300_000
    np.testing.assert_allclose(signal[0], signal[-1])
    assert signal.min() == pytest.approx(np.log(0.25)) and signal.max() <= 0
    # Nothing leaves the sensor: the sum of brightness stays.
    brightness = np.exp(signal).sum((1, 2, 3))
    np.testing.assert_allclose(brightness, brightness[0], rtol=1e-5)


@pytest.mark.parametrize('change, words', [
    (dict(width=0), 'width=0'), (dict(threshold=0.0), 'threshold=0.0 must be a finite number, at least 0.01'),
    (dict(threshold=float('inf')), 'threshold=inf'), (dict(height=2.5), 'height=2.5 must be a whole number'),
    (dict(refractory_period=-1), 'refractory_period=-1'), (dict(noise_rate=float('nan')), 'noise_rate=nan')])
def test_bad_cameras_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        EventCamera(**{**dict(width=4, height=4), **change})


@pytest.mark.parametrize('shape, times', [((3, 1, 4, 5), [0, 1, 2]), ((3, 1, 4, 4), [0, 1]), ((3, 2, 4, 4), [0, 1, 2]),
                                          ((3, 1, 4, 4), [0, 2, 2]), ((1, 1, 4, 4), [0])])
def test_bad_scenes_are_named(shape, times):
    with pytest.raises(ValueError, match='do not fit a sensor of 4x4|times must increase'):
        EventCamera(4, 4).record(np.zeros(shape), np.array(times), [np.random.default_rng(0)])


@pytest.mark.parametrize('options, words', [
    (dict(zoom=3), '8x8 pixels, 3 times as large'), (dict(darkest=0.0), 'darkest=0.0'),
    (dict(interval=3000), 'interval=3000')])
def test_bad_saccades_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        saccades(np.zeros((1, 8, 8)), (20, 20), **options)


def test_scenes_without_light_and_images_of_bytes_are_named():
    with pytest.raises(ValueError, match='not finite'):
        EventCamera(4, 4).record(np.full((2, 1, 4, 4), -np.inf), np.array([0, 1]), [np.random.default_rng(0)])
    with pytest.raises(ValueError, match='between 255.0 and 255.0.*divide 8-bit images by 255'):
        saccades(np.full((1, 8, 8), 255.0), (20, 20))
