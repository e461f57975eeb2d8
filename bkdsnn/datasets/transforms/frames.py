"""Events to frames: counts per time step, polarity and pixel."""
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from bkdsnn.registry import TRANSFORMS

from ..events import check_events, sort_events
from .base import EventTransform

SPLIT_RULES = ('count', 'time', 'window')


def events_to_frames(events: np.ndarray,
                     sensor_size: Sequence[int],
                     time_steps: int,
                     by: str = 'count',
                     window: Optional[int] = None,
                     max_count: Optional[int] = None,
                     dtype: str = 'float32') -> np.ndarray:
    """Count the events of each time step, polarity and pixel. Every event is counted exactly once.

    Args:
        events: Structured array (N,) with the integer fields ``x``, ``y``, ``t``, ``p``, in any order of time. None at
            all make empty frames.
        sensor_size: Width, height and number of polarities.
        time_steps: Number of frames T.
        by: How time is split, see :func:`step_bounds`.
        window: Duration of a frame in microseconds, for ``by='window'`` alone.
        max_count: Counts above are cut to it; 1 makes binary frames.
        dtype: Of the frames.

    Returns:
        Counts (T, P, H, W).

    Raises:
        ValueError: If an argument is out of range, an event lies outside the sensor, the recording is longer than T
            windows, or a count does not fit ``dtype``.
    """
    check_frame_arguments('events_to_frames', time_steps, by, window, max_count, dtype)
    check_events(events, sensor_size)
    events = sort_events(events)
    bounds = step_bounds(events['t'], time_steps, by, window)
    cells = cell_index(events, sensor_size)
    width, height, polarities = sensor_size
    largest = largest_count(dtype)
    fits = np.diff(bounds).max() <= largest
    counts = np.zeros((time_steps, polarities * height * width), dtype if fits else np.int64)
    # Step by step, since one frame stays in the processor's cache; and a 1 of the same type is NumPy's fast way to add.
    one = counts.dtype.type(1)
    for frame, start, stop in zip(counts, bounds, bounds[1:]):
        np.add.at(frame, cells[start:stop], one)
    if max_count is not None:
        np.minimum(counts, counts.dtype.type(max_count), out=counts)
    if not fits and counts.max() > largest:
        raise ValueError(f'events_to_frames: a pixel has {counts.max()} events in one frame, which {dtype} cannot '
                         f"hold. Use dtype='float32', or max_count={largest}.")
    return counts.reshape(time_steps, polarities, height, width).astype(dtype, copy=False)


def step_bounds(t: np.ndarray, time_steps: int, by: str = 'time', window: Optional[int] = None) -> np.ndarray:
    """Split sorted events into time steps.

    Args:
        t: Times (N,) in microseconds, sorted.
        time_steps: Number of steps T.
        by: ``'count'``: ``N // T`` consecutive events each, the last step with what remains; with fewer events than
            steps, one each, and the last steps stay empty. ``'time'``: windows of equal duration between the first and
            the last event. ``'window'``: windows of ``window`` from the first event on; those after the last event stay
            empty.
        window: Microseconds, for ``'window'`` alone.

    Returns:
        Indices (T + 1,): step k consists of the events ``bounds[k]`` to ``bounds[k + 1] - 1``.

    Raises:
        ValueError: If the events last longer than T windows.
    """
    if by == 'count':
        bounds = np.minimum(np.arange(time_steps + 1) * max(len(t) // time_steps, 1), len(t))
        bounds[-1] = len(t)
        return bounds
    if not len(t):
        return np.zeros(time_steps + 1, np.int64)
    # Signed, since unsigned times would be compared as floats.
    elapsed = t.astype(np.int64) - int(t[0])
    last = int(elapsed[-1])
    duration = window * time_steps if by == 'window' else last + 1
    if last >= duration:
        raise ValueError(f'The recording lasts {last + 1} us, which needs {last // window + 1} windows of '
                         f'window={window} us, but time_steps={time_steps}. Put CropTime(stop={duration}) before, or '
                         f'take a window of at least {last // time_steps + 1}.')
    # An event of time e is in step floor(e * T / duration), so step k starts at ceil(k * duration / T).
    return np.searchsorted(elapsed, [-(-k * duration // time_steps) for k in range(time_steps + 1)])


def cell_index(events: np.ndarray, sensor_size: Sequence[int]) -> np.ndarray:
    """Index (N,) of each event's cell in a flattened frame (P, H, W)."""
    width, height, _ = sensor_size
    cells = events['p'].astype(np.intp)
    for size, name in ((height, 'y'), (width, 'x')):
        cells *= size
        cells += events[name].astype(np.intp)
    return cells


def largest_count(dtype: str) -> int:
    """Up to which number ``dtype`` holds every whole number."""
    dtype = np.dtype(dtype)
    return np.iinfo(dtype).max if dtype.kind in 'iu' else 2**(np.finfo(dtype).nmant + 1)


def check_time_steps(caller: str, time_steps: int) -> None:
    """Raise ValueError if there cannot be that many time steps."""
    if not isinstance(time_steps, int) or time_steps < 1:
        raise ValueError(f'{caller}: time_steps={time_steps!r} must be a whole number, at least 1.')


def check_frame_arguments(caller: str, time_steps: int, by: str, window: Optional[int], max_count: Optional[int],
                          dtype: str) -> None:
    """Raise ValueError if frames cannot be made that way."""
    check_time_steps(caller, time_steps)
    if by not in SPLIT_RULES:
        raise ValueError(f'{caller}: by={by!r} is unknown; choose from {list(SPLIT_RULES)}.')
    if (by == 'window') != (window is not None):
        raise ValueError(f"{caller}: window={window!r} with by={by!r}; by='window' needs a window, the others none.")
    if window is not None and (not isinstance(window, int) or window < 1):
        raise ValueError(f'{caller}: window={window!r} must be a whole number of microseconds, at least 1.')
    if np.dtype(dtype).kind not in 'iuf':
        raise ValueError(f'{caller}: dtype={dtype!r} must be of integers or floats.')
    if max_count is not None and (not isinstance(max_count, int) or not 1 <= max_count <= largest_count(dtype)):
        raise ValueError(f'{caller}: max_count={max_count!r} must be a whole number, at least 1, that {dtype} holds.')


@TRANSFORMS.register_module()
@dataclass
class EventsToFrames(EventTransform):
    """Turns ``events`` into ``frames``, counts (T, P, H, W). :class:`TwoViews` makes two of them.

    Args:
        time_steps: Number of frames T.
        by: How time is split, see :func:`step_bounds`; ``'count'`` is the paper's choice.
        window: Duration of a frame in microseconds, for ``by='window'`` alone.
        max_count: Counts above are cut to it; 1 makes binary frames.
        dtype: Of the frames.

    Raises:
        ValueError: If an argument is out of range.
    """

    time_steps: int
    by: str = 'count'
    window: Optional[int] = None
    max_count: Optional[int] = None
    dtype: str = 'float32'
    random = False
    makes_frames = True

    def __post_init__(self) -> None:
        check_frame_arguments(type(self).__name__, self.time_steps, self.by, self.window, self.max_count, self.dtype)

    def transform(self, results: dict) -> dict:
        """Add ``frames``."""
        frames = events_to_frames(results['events'], results['sensor_size'], self.time_steps, self.by, self.window,
                                  self.max_count, self.dtype)
        return dict(results, frames=frames)
