"""Transforms that leave events out: at random, in an area or a time (EventDrop, Gu et al. 2021, arXiv 2106.05836).

The defaults are milder than the ones of tonic's ``EventDrop``, which drops up to nine tenths of the events or the time.
"""
from dataclasses import dataclass
from typing import Optional

import numpy as np

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform, check_range


def drop_area(events: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    """The events outside a box."""
    x, y = events['x'].astype(np.int64) - left, events['y'].astype(np.int64) - top
    return events[(x < 0) | (x >= width) | (y < 0) | (y >= height)]


def crop_time(events: np.ndarray, start: int, stop: Optional[int]) -> np.ndarray:
    """The events from ``start`` until before ``stop``, microseconds after the first one; ``None`` is the end."""
    if not len(events):
        return events
    elapsed = events['t'].astype(np.int64) - int(events['t'][0])
    return events[(elapsed >= start) & (elapsed < (np.inf if stop is None else stop))]


@TRANSFORMS.register_module()
@dataclass
class RandomEventDrop(EventTransform):
    """Drops each of the ``events`` with the same probability, drawn anew for each recording.

    Args:
        max_ratio: Largest probability.
    """

    max_ratio: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, 'max_ratio', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        ratio = np.random.uniform(0, self.max_ratio)
        return dict(results, events=results['events'][np.random.rand(len(results['events'])) >= ratio])


@TRANSFORMS.register_module()
@dataclass
class RandomAreaDrop(EventTransform):
    """Drops the ``events`` of a box somewhere on the sensor.

    Args:
        max_ratio: Largest side of the box, as a part of the sensor's.
    """

    max_ratio: float = 0.25

    def __post_init__(self) -> None:
        check_range(self, 'max_ratio', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        width, height = (int(np.random.uniform(0, self.max_ratio) * size) for size in results['sensor_size'][:2])
        left = np.random.randint(results['sensor_size'][0] - width + 1)
        top = np.random.randint(results['sensor_size'][1] - height + 1)
        return dict(results, events=drop_area(results['events'], left, top, width, height))


@TRANSFORMS.register_module()
@dataclass
class RandomTimeDrop(EventTransform):
    """Drops the ``events`` of an interval somewhere in the recording.

    Args:
        max_ratio: Longest interval, as a part of the recording's duration.
    """

    max_ratio: float = 0.25

    def __post_init__(self) -> None:
        check_range(self, 'max_ratio', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        ratio, place = np.random.uniform(0, self.max_ratio), np.random.rand()
        events = results['events']
        if not len(events):
            return results
        elapsed = events['t'].astype(np.int64) - int(events['t'][0])
        duration = int(elapsed[-1]) + 1
        start = place * (1 - ratio) * duration
        return dict(results, events=events[(elapsed < start) | (elapsed >= start + ratio * duration)])


@TRANSFORMS.register_module()
@dataclass
class CropTime(EventTransform):
    """Keeps the ``events`` of an interval, and drops the others.

    Args:
        start: Beginning, in microseconds after the first event.
        stop: End, which is not included; ``None`` keeps the rest.
    """

    start: int = 0
    stop: Optional[int] = None
    random = False

    def __post_init__(self) -> None:
        check_range(self, 'start', 0, whole=True)
        if self.stop is not None:
            check_range(self, 'stop', self.start + 1, whole=True)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        return dict(results, events=crop_time(results['events'], self.start, self.stop))
