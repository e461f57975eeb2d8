"""Clocks that begin anew inside a recording or a stream, and events that are stored in another way."""
import re

import numpy as np
import pytest
from data_cases import OTHERS, SIZE, STEP, TURN, recording, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from bkdsnn.apis.readers import EventReader
from bkdsnn.datasets import EventFolder
from bkdsnn.datasets.clocks import Clock
from bkdsnn.datasets.event_files import read_events
from bkdsnn.datasets.event_windows import cut_windows
from bkdsnn.datasets.events import check_events, sort_events
from bkdsnn.datasets.transforms import events_to_frames
from generated_events import write_bin

# Of each, where it turns, what it counts, and the type of that.
CLOCKS = {'31 bits': (2**31, lambda t: t % 2**31, np.int64), 'unsigned': (2**32, lambda t: t % 2**32, np.uint32),
          'signed': (2**31, lambda t: (t + 2**31) % 2**32 - 2**31, np.int32)}


def turned(kind, disorder=0):
    """Events of a clock that turns at event ``TURN``, and the same ones with times that go on."""
    turn, count, dtype = CLOCKS[kind]
    whole = recording(disorder)
    whole['t'] += turn - TURN * STEP
    counted = whole.astype([('x', int), ('y', int), ('t', dtype), ('p', int)])
    counted['t'] = count(whole['t'])
    return counted, whole


@pytest.mark.parametrize('disorder', [0, 8])
@pytest.mark.parametrize('kind', CLOCKS)
def test_a_clock_that_turns_inside_a_recording_goes_on(kind, disorder, tmp_path):
    counted, whole = turned(kind, disorder)
    assert (np.diff(counted['t'].astype(np.int64)) < -2**30).any()
    want = sort_events(whole)
    assert sort_events(counted).tolist() == want.tolist()
    np.testing.assert_array_equal(events_to_frames(counted, SIZE, 4), events_to_frames(whole, SIZE, 4))
    (tmp_path / 'train' / 'a').mkdir(parents=True)
    np.save(tmp_path / 'train' / 'a' / 'x.npy', counted)
    assert EventFolder(str(tmp_path), 'train', SIZE)[0]['events'].tolist() == want.tolist()
    for source in (counted, tmp_path / 'train' / 'a' / 'x.npy'):
        assert EventReader(SIZE).read(source)['events'].tolist() == want.tolist()


@pytest.mark.parametrize('cuts', [[], [TURN], [TURN - 1, TURN + 1], [3, 50, 99, 101, 102, 250]])
@pytest.mark.parametrize('window', [dict(count=30), dict(duration=20_000)])
@pytest.mark.parametrize('kind', CLOCKS)
def test_a_clock_that_turns_inside_a_stream_goes_on(kind, window, cuts):
    counted, whole = turned(kind)
    found, want = (list(cut_windows(np.split(events, cuts), **window)) for events in (counted, whole))
    assert [(w.start, w.stop) for w in found] == [(w.start, w.stop) for w in want]
    assert all(np.array_equal(a.events, b.events) for a, b in zip(found, want))


def test_a_clock_may_turn_more_than_once():
    t = np.arange(0, 3 * 2**31, 2**27)
    np.testing.assert_array_equal(Clock()(t % 2**31), t)
    clock = Clock()
    np.testing.assert_array_equal(np.concatenate([clock(chunk % 2**31) for chunk in np.split(t, 7 + np.arange(9))]), t)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**31 - 1), max_size=30), st.integers(0, 30))
def test_other_steps_back_are_left_for_sorting(times, cut):
    t = np.array(times, np.int64)
    steps = np.diff(t)
    if len(steps) and steps.min() < -2**31 * 7 / 8:
        return
    clock = Clock()
    np.testing.assert_array_equal(np.concatenate([clock(t[:cut]), clock(t[cut:])]), t)


def test_a_late_chunk_of_a_stream_is_still_an_error():
    events = recording()
    with pytest.raises(ValueError, match='chunk 1 of the stream begins at 0 us, before the last event'):
        list(cut_windows([events[100:], events[:100]], count=10))


def test_the_clock_of_n_mnists_files_has_23_bits(tmp_path):
    events = recording()
    whole = events['t'] + 2**23 - TURN * STEP
    events['t'] = whole % 2**23
    write_bin(tmp_path / 'a.bin', events)
    assert read_events(tmp_path / 'a.bin')['t'].tolist() == whole.tolist()


def test_times_that_need_64_bits_without_a_sign_are_no_times(tmp_path):
    events = recording().astype([('x', int), ('y', int), ('t', np.uint64), ('p', int)])
    events['t'][7] = 2**63 + 5
    np.save(tmp_path / 'a.npy', events)
    with pytest.raises(OSError, match=f'event 7 has t={2**63 + 5}, which is not possible'):
        read_events(tmp_path / 'a.npy')


# ---- other ways to store events ----

def converted(message, events):
    """What the line in an error makes of the events."""
    names = dict(np=np, events=events)
    exec(re.search(r"onvert it: (events = .* for name in 'xytp'\]\))", message)[1], names)
    return names['events']


@pytest.mark.parametrize('how', OTHERS)
def test_refusal_of_other_arrays_shows_the_line_that_converts(how, tmp_path):
    events = OTHERS[how]
    np.save(tmp_path / 'a.npy', events)
    for read in (lambda: check_events(events, SIZE), lambda: EventReader(SIZE).read(events),
                 lambda: EventReader(SIZE).read(tmp_path / 'a.npy')):
        with pytest.raises((ValueError, OSError)) as error:
            read()
        message = str(error.value)
        assert ('times in seconds' in message) == ('seconds' in how or how == 'all of it')
        assert ('polarities of -1 and 1' in message) == ('signs' in how or how == 'all of it')
        events_again = converted(message, events)
        check_events(events_again, SIZE)
        assert events_again.tolist() == recording().tolist()
    np.save(tmp_path / 'a.npy', events_again)
    assert EventReader(SIZE).read(tmp_path / 'a.npy')['events'].tolist() == recording().tolist()
    if how != 'signs':  # which are integers, and no window looks at them
        with pytest.raises(ValueError, match='chunk 0 of the stream: .*onvert it: events = '):
            list(cut_windows([events], count=10))


@pytest.mark.parametrize('events', [
    np.zeros((0, 4)), np.zeros((5, 4)), np.zeros(5), np.zeros((5, 3)), np.full((5, 4), np.nan), np.zeros((5, 4), 'U1'),
    np.stack(rows('xytp'), 1) * [1, 1, 0.3701, 1],  # milliseconds, or what?
    np.stack(rows('xytp'), 1) * [0.5, 1, 1, 1]],
    ids=['none', 'zeros', 'numbers', 'three', 'NaN', 'text', 'unit', 'halves'])
def test_no_line_where_it_cannot_be_told(events):
    with pytest.raises(ValueError) as error:
        check_events(events, SIZE)
    assert 'is no structured array (N,)' in str(error.value) and 'onvert' not in str(error.value)
