"""What an array of events is: structured, with integer fields x, y, t (microseconds) and p, sorted by time."""
from typing import Sequence

import numpy as np

from .clocks import Clock
from .conversions import conversion

FIELDS = ('x', 'y', 't', 'p')


def check_fields(events: np.ndarray) -> None:
    """Check that an array has the fields of events.

    Raises:
        ValueError: If a field is missing or not of integers; where it can be told, the message has the line that
            converts.
    """
    fields = events.dtype.names or ()
    if events.ndim != 1 or not all(name in fields and events.dtype[name].kind in 'iub' for name in FIELDS):
        raise ValueError(f'an array {events.shape} of {events.dtype} is no structured array (N,) with the integer '
                         f'fields x, y, t (microseconds) and p{conversion(events)}')


def check_events(events: np.ndarray, sensor_size: Sequence[int]) -> None:
    """Check what everything after the reader relies on.

    Args:
        events: Structured array (N,).
        sensor_size: Width, height and number of polarities.

    Raises:
        ValueError: If a field is missing or not of integers, or the first event that lies outside the sensor or has
            another polarity; the message gives its index and values.
    """
    check_fields(events)
    if not len(events):
        return
    for name, size in zip('xyp', sensor_size):
        values = events[name]
        if values.min() >= 0 and values.max() < size:
            continue
        outside = np.flatnonzero((values < 0) | (values >= size))
        first = outside[0]
        event = ', '.join(f'{field}={int(events[field][first])}' for field in FIELDS)
        raise ValueError(f'{len(outside)} of {len(events)} events have {name} outside 0 to {size - 1} '
                         f'(sensor_size={tuple(sensor_size)}); the first is event {first} with {event}'
                         f'{conversion(events) if name == "p" else ""}.')


def sort_events(events: np.ndarray) -> np.ndarray:
    """Events in the order of time; those of equal time keep theirs. Sorted ones are returned as they are.

    Where a clock of 31 or 32 bits has begun anew, times go on from there, as int64.
    """
    t = events['t']
    if (t[1:] >= t[:-1]).all():
        return events
    went_on = Clock()(t)
    if (went_on != t).any():
        events = _with_times(events, went_on)
    return events[np.argsort(went_on, kind='stable')]


def _with_times(events: np.ndarray, t: np.ndarray) -> np.ndarray:
    dtype = [(name, np.int64 if name == 't' else events.dtype[name]) for name in events.dtype.names]
    changed = events.astype(dtype)
    changed['t'] = t
    return changed
