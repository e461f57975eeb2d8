"""Windows of a stream of events, cut as the events come in."""
from typing import Iterable, Iterator, List, NamedTuple, Optional

import numpy as np

from .clocks import Clock
from .event_files import to_int64

# A pause of more windows is taken for a mistake in the times: each would be a frame without events.
MAX_EMPTY_WINDOWS = 1000


class Window(NamedTuple):
    """Consecutive events.

    Attributes:
        events: Structured array (N,), sorted by time.
        start: Time at which the window begins, in microseconds.
        stop: Time at which it ends, which is not included.
    """

    events: np.ndarray
    start: int
    stop: int


def cut_windows(chunks: Iterable[np.ndarray], duration: Optional[int] = None,
                count: Optional[int] = None) -> Iterator[Window]:
    """Cut chunks of events, as a camera sends them, into windows of equal duration or of equally many events.

    A window comes out as soon as it is known to be complete: when ``count`` events are there, or an event after its end
    has come. What remains when the chunks end makes a last, smaller window. Every event is in exactly one window.

    Args:
        chunks: Structured arrays with the integer fields ``x``, ``y``, ``t`` (microseconds) and ``p``, of any length. A
            chunk must not begin before the one before it ends, unless a clock of 31 or 32 bits begins anew; times of
            windows then go on.
        duration: Of a window in microseconds; the first begins with the first event. A pause gives empty windows.
        count: Number of events of a window.

    Raises:
        ValueError: At once, if not exactly one of ``duration`` and ``count`` is a positive whole number; on the way, if
            a chunk is no array of events or begins too early, or a pause is longer than 1000 windows.
    """
    if (duration is None) == (count is None):
        raise ValueError(f'a window has a duration or a count, got duration={duration!r} and count={count!r}.')
    size = count if duration is None else duration
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        name = 'count' if duration is None else 'duration'
        raise ValueError(f'{name}={size!r} of a window must be a whole number, at least 1.')
    chunks = _in_order(chunks)
    return _by_count(chunks, count) if duration is None else _by_duration(chunks, duration)


def _in_order(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Chunks with events in the order of time, which goes on where the camera's clock begins anew."""
    last, clock = None, Clock()
    for index, chunk in enumerate(chunks):
        try:
            chunk = to_int64(np.asarray(chunk))
        except ValueError as error:
            raise ValueError(f'chunk {index} of the stream: {error}') from None
        if not len(chunk):
            continue
        chunk['t'] = clock(chunk['t'])
        chunk = chunk[np.argsort(chunk['t'], kind='stable')]
        if last is not None and chunk['t'][0] < last:
            raise ValueError(f'chunk {index} of the stream begins at {chunk["t"][0]} us, before the last event of the '
                             f'one before it, {last} us.')
        last = int(chunk['t'][-1])
        yield chunk


def _by_count(chunks: Iterator[np.ndarray], count: int) -> Iterator[Window]:
    parts: List[np.ndarray] = []
    waiting = 0
    for chunk in chunks:
        parts.append(chunk)
        waiting += len(chunk)
        if waiting < count:
            continue
        events = np.concatenate(parts)
        for start in range(0, waiting - count + 1, count):
            yield _spanning(events[start:start + count])
        waiting %= count
        parts = [events[len(events) - waiting:]]
    if waiting:
        yield _spanning(np.concatenate(parts))


def _spanning(events: np.ndarray) -> Window:
    return Window(events, int(events['t'][0]), int(events['t'][-1]) + 1)


def _by_duration(chunks: Iterator[np.ndarray], duration: int) -> Iterator[Window]:
    parts: List[np.ndarray] = []
    start = None
    for chunk in chunks:
        start = int(chunk['t'][0]) if start is None else start
        while chunk['t'][-1] >= start + duration:
            _check_pause(start, int(chunk['t'][0]), duration)
            cut = int(np.searchsorted(chunk['t'], start + duration))
            yield Window(np.concatenate([*parts, chunk[:cut]]), start, start + duration)
            chunk, parts, start = chunk[cut:], [], start + duration
        parts.append(chunk)
    if start is not None:
        yield Window(np.concatenate(parts), start, start + duration)


def _check_pause(start: int, event: int, duration: int) -> None:
    if (event - start) // duration > MAX_EMPTY_WINDOWS:
        raise ValueError(f'after {start} us there are no events until {event} us, which is more than '
                         f'{MAX_EMPTY_WINDOWS} windows of {duration} us. Times must be in microseconds; start a new '
                         'stream after a long pause.')
