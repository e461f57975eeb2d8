"""Transforms that add noise to events, or take it away."""
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from bkdsnn.registry import TRANSFORMS

from ..events import sort_events
from .base import EventTransform, check_range
from .geometry import place_events

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def denoise_events(events: np.ndarray, sensor_size: Sequence[int], filter_time: int) -> np.ndarray:
    """The events near which another one has fired shortly before (background activity filter, Delbruck 2008).

    Args:
        events: Structured array (N,), sorted by time.
        sensor_size: Width and height come first.
        filter_time: An event is kept if, less than so many microseconds before it, one of the four pixels beside it
            had an event.
    """
    # A border of one pixel, so that neighbours need no special case.
    width = sensor_size[0] + 2
    pixel = (events['y'].astype(np.int64) + 1) * width + events['x'] + 1
    # By pixel and then by time, so that keys are sorted, and what is looked up among them is too.
    order = np.argsort(pixel, kind='stable')
    pixel, t = pixel[order], events['t'].astype(np.int64)[order]
    keys = pixel * len(events) + order
    keep = np.zeros(len(events), bool)
    for dx, dy in NEIGHBOURS:
        neighbour = dy * width + dx
        # The last event of the neighbour before this one, if there is any.
        last = np.searchsorted(keys, keys + neighbour * len(events)) - 1
        keep[order] |= (last >= 0) & (pixel[last] == pixel + neighbour) & (t - t[last] < filter_time)
    return events[keep]


@TRANSFORMS.register_module()
@dataclass
class Denoise(EventTransform):
    """Drops ``events`` without another one beside them shortly before, see :func:`denoise_events`.

    Args:
        filter_time: Microseconds.
    """

    filter_time: int = 10_000
    random = False

    def __post_init__(self) -> None:
        check_range(self, 'filter_time', 1, whole=True)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        return dict(results, events=denoise_events(results['events'], results['sensor_size'], self.filter_time))


@TRANSFORMS.register_module()
@dataclass
class RandomSpatialJitter(EventTransform):
    """Moves each of the ``events`` by a normal number of pixels in x and in y; those that leave are dropped.

    Args:
        std: Standard deviation in pixels, before rounding.
    """

    std: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, 'std', 0)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        events = results['events']
        dx, dy = np.round(np.random.normal(0, self.std, (2, len(events)))).astype(np.int64)
        events = place_events(events, events['x'] + dx, events['y'] + dy, *results['sensor_size'][:2])
        return dict(results, events=events)


@TRANSFORMS.register_module()
@dataclass
class RandomTimeJitter(EventTransform):
    """Moves each of the ``events`` by a normal number of microseconds, not before the first, and sorts them again.

    Args:
        std: Standard deviation in microseconds.
    """

    std: float = 1000.0

    def __post_init__(self) -> None:
        check_range(self, 'std', 0)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        events = results['events'].copy()
        if len(events):
            t = events['t'].astype(np.int64)
            jitter = np.round(np.random.normal(0, self.std, len(t))).astype(np.int64)
            events['t'] = np.maximum(t + jitter, t[0])
        return dict(results, events=sort_events(events))
