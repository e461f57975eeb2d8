"""Events to frames: counts per time step, polarity and pixel."""
from typing import Dict, Sequence, Union

import numpy as np
from mmcv.transforms import BaseTransform

from bkdsnn.registry import TRANSFORMS

VIEWS = ('student', 'teacher')
SPLIT_RULES = ('count', 'time')


def events_to_frames(events: np.ndarray,
                     sensor_size: Sequence[int],
                     time_steps: int,
                     by: str = 'count',
                     dtype: str = 'float32') -> np.ndarray:
    """Count the events of each time step, polarity and pixel. Every event is counted exactly once.

    Args:
        events: Structured array with the integer fields ``x``, ``y``, ``t``, ``p``, in any order of time. None at all
            make empty frames.
        sensor_size: Width, height and number of polarities.
        time_steps: Number of frames T.
        by: ``'count'``: frames of ``N // T`` consecutive events each, the last one with what remains; with fewer events
            than frames, one each, and the last frames stay empty. ``'time'``: windows of equal duration between the
            first and the last event.
        dtype: Of the frames.

    Returns:
        Counts (T, P, H, W).

    Raises:
        ValueError: If an argument is out of range, an event lies outside the sensor, or a count does not fit ``dtype``.
    """
    check_frame_arguments('events_to_frames', time_steps, by)
    width, height, polarities = sensor_size
    missing = {'x', 'y', 't', 'p'} - set(events.dtype.names or ())
    if missing or not all(events.dtype[name].kind in 'iub' for name in 'xytp'):
        raise ValueError(f'events_to_frames: events have the fields {events.dtype}; x, y, t and p are needed, all '
                         'integers.')
    # Unsigned fields of the readers would wrap around in differences.
    x, y, t, p = (events[name].astype(np.int64) for name in 'xytp')
    for name, values, size in (('x', x, width), ('y', y, height), ('p', p, polarities)):
        outside = np.count_nonzero((values < 0) | (values >= size))
        if outside:
            raise ValueError(f'events_to_frames: {outside} of {len(events)} events have {name} between {values.min()} '
                             f'and {values.max()}, outside 0 to {size - 1} (sensor_size={tuple(sensor_size)}).')
    shape = (time_steps, polarities, height, width)
    cell = ((time_step_of(t, time_steps, by) * polarities + p) * height + y) * width + x
    counts = np.bincount(cell, minlength=int(np.prod(shape)))
    if np.issubdtype(dtype, np.integer) and counts.max() > np.iinfo(dtype).max:
        raise ValueError(f'events_to_frames: a pixel has {counts.max()} events in one frame, which {dtype} cannot '
                         "hold. Use dtype='float32'.")
    return counts.reshape(shape).astype(dtype)


def time_step_of(t: np.ndarray, time_steps: int, by: str) -> np.ndarray:
    """Index of the frame that each event belongs to, see :func:`events_to_frames`.

    Args:
        t: Times (N,), int64.
        time_steps: Number of frames T.
        by: ``'count'`` or ``'time'``.

    Returns:
        (N,) with values 0 to T - 1.
    """
    if not len(t):
        return np.zeros(0, np.int64)
    if by == 'time':
        elapsed = t - t.min()
        return elapsed * time_steps // (elapsed.max() + 1)
    rank = np.arange(len(t))
    if (np.diff(t) < 0).any():
        rank[np.argsort(t, kind='stable')] = np.arange(len(t))
    return np.minimum(rank // max(len(t) // time_steps, 1), time_steps - 1)


def check_frame_arguments(caller: str, time_steps: int, by: str) -> None:
    """Raise ValueError if the number of frames or the rule is not possible."""
    if not isinstance(time_steps, int) or time_steps < 1:
        raise ValueError(f'{caller}: time_steps={time_steps} must be a whole number, at least 1.')
    if by not in SPLIT_RULES:
        raise ValueError(f'{caller}: by={by!r} is unknown; choose from {list(SPLIT_RULES)}.')


@TRANSFORMS.register_module()
class EventsToFrames(BaseTransform):
    """Turns ``events`` into ``frames`` (T, P, H, W), or into one such array per view.

    Args:
        time_steps: Number of frames; or ``dict(student=4, teacher=16)`` for two framings of the same events.
        by: How events are distributed, see :func:`events_to_frames`. ``'count'`` is the paper's choice.
        dtype: Of the frames.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, time_steps: Union[int, Dict[str, int]], by: str = 'count', dtype: str = 'float32') -> None:
        if isinstance(time_steps, dict) and set(time_steps) != set(VIEWS):
            raise ValueError(f'EventsToFrames: time_steps={dict(time_steps)} must have the keys {list(VIEWS)}.')
        for steps in time_steps.values() if isinstance(time_steps, dict) else [time_steps]:
            check_frame_arguments('EventsToFrames', steps, by)
        self.time_steps, self.by, self.dtype = time_steps, by, dtype

    def transform(self, results: dict) -> dict:
        """Add ``frames``."""
        def frames(steps: int) -> np.ndarray:
            return events_to_frames(results['events'], results['sensor_size'], steps, self.by, self.dtype)

        steps = self.time_steps
        results['frames'] = ({view: frames(number) for view, number in steps.items()} if isinstance(steps, dict)
                             else frames(steps))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(time_steps={self.time_steps}, by={self.by!r}, dtype={self.dtype!r})'
