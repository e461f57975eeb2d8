"""What an array of events is: structured, with integer fields x, y, t (microseconds) and p, sorted by time."""
from typing import Sequence

import numpy as np

FIELDS = ('x', 'y', 't', 'p')


def check_events(events: np.ndarray, sensor_size: Sequence[int]) -> None:
    """Check what everything after the reader relies on.

    Args:
        events: Structured array (N,).
        sensor_size: Width, height and number of polarities.

    Raises:
        ValueError: If a field is missing or not of integers, or the first event that lies outside the sensor or has
            another polarity; the message gives its index and values.
    """
    names = events.dtype.names or ()
    if (events.ndim != 1 or not set(FIELDS) <= set(names)
            or any(events.dtype[name].kind not in 'iub' for name in FIELDS)):
        raise ValueError(f'events are an array {events.shape} of {events.dtype}, but must be a structured array (N,) '
                         'with the fields x, y, t and p, all integers.')
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
                         f'(sensor_size={tuple(sensor_size)}); the first is event {first} with {event}.')


def sort_events(events: np.ndarray) -> np.ndarray:
    """Events in the order of time; those of equal time keep theirs. Sorted ones are returned as they are."""
    t = events['t']
    if (t[1:] >= t[:-1]).all():
        return events
    return events[np.argsort(t, kind='stable')]
