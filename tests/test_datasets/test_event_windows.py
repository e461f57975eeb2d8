"""A stream of events is cut into windows: every event once, as early as it can be."""
import numpy as np
import pytest

from bkdsnn.datasets.event_windows import MAX_EMPTY_WINDOWS, cut_windows
from bkdsnn.datasets.transforms.frames import step_bounds
from generated_events import generate_events


def chunked(events, seed=0, parts=20):
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(events) + 1, parts))
    return np.split(events, cuts)  # some are empty


@pytest.mark.parametrize('window', [dict(count=7), dict(count=1), dict(count=5000), dict(duration=100),
                                    dict(duration=30_000), dict(duration=5_000_000)])
def test_every_event_is_in_one_window_however_it_comes_in(window):
    events = generate_events(1000, duration=50_000)
    events['t'] += 12_345
    at_once = list(cut_windows([events], **window))
    for seed in range(3):
        piecewise = list(cut_windows(chunked(events, seed), **window))
        assert [w[1:] for w in piecewise] == [w[1:] for w in at_once]
        assert all(np.array_equal(a.events, b.events) for a, b in zip(piecewise, at_once))
    np.testing.assert_array_equal(np.concatenate([w.events for w in at_once]), events)
    assert all(((w.start <= w.events['t']) & (w.events['t'] < w.stop)).all() for w in at_once)
    if 'count' in window:
        assert {len(w.events) for w in at_once[:-1]} <= {window['count']}
    else:
        assert [w.start for w in at_once] == [events['t'][0] + i * window['duration'] for i in range(len(at_once))]
        assert all(w.stop - w.start == window['duration'] for w in at_once)


def test_windows_of_a_duration_are_those_of_a_whole_recording():
    events = generate_events(500, duration=90_000)
    bounds = step_bounds(events['t'], 9, 'window', 10_000)
    windows = list(cut_windows(chunked(events), duration=10_000))
    assert [len(w.events) for w in windows] == np.diff(bounds).tolist()


def test_window_comes_as_soon_as_it_is_known_to_be_complete():
    events = generate_events(6)
    events['t'] = [0, 5, 10, 11, 19, 20]
    seen = []

    def camera():
        for event in np.split(events, 6):
            seen.append(int(event['t'][0]))
            yield event

    windows = cut_windows(camera(), duration=10)
    next(windows)
    assert seen == [0, 5, 10]
    next(windows)
    assert seen[-1] == 20
    seen.clear()
    next(cut_windows(camera(), count=2))
    assert seen == [0, 5]


def test_pause_makes_empty_windows_unless_it_cannot_be_meant():
    events = generate_events(3)
    events['t'] = [0, 10, 10 + 10 * MAX_EMPTY_WINDOWS]
    for chunks in ([events], np.split(events, 3)):
        windows = list(cut_windows(chunks, duration=10))
        assert len(windows) == MAX_EMPTY_WINDOWS + 2 and sum(len(w.events) for w in windows) == 3
    events['t'][2] += 20
    for chunks in ([events], np.split(events, 3)):
        with pytest.raises(ValueError, match='more than 1000 windows of 10 us. Times must be in microseconds'):
            list(cut_windows(chunks, duration=10))


def test_chunk_is_sorted_but_a_late_one_is_an_error():
    events = generate_events(10)
    assert np.array_equal(next(cut_windows([events[::-1]], count=10)).events['t'], events['t'])
    with pytest.raises(ValueError, match='chunk 1 of the stream begins at'):
        list(cut_windows([events[5:], events[:5]], count=3))
    with pytest.raises(ValueError, match='chunk 1 of the stream: .* no structured array'):
        list(cut_windows([events, np.zeros((3, 4))], count=3))
    assert list(cut_windows([], count=3)) == list(cut_windows([events[:0]], duration=3)) == []


@pytest.mark.parametrize('window', [dict(), dict(count=1, duration=1), dict(count=0), dict(duration=1.5),
                                    dict(count=True)])
def test_window_that_cannot_be_is_an_error_at_once(window):
    with pytest.raises(ValueError, match='window'):
        cut_windows([], **window)
