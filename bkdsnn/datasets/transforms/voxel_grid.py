"""Events to a voxel grid: each event is shared by the two time steps next to it."""
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from bkdsnn.registry import TRANSFORMS

from ..events import check_events, sort_events
from .base import EventTransform
from .frames import cell_index, check_time_steps


def events_to_voxel_grid(events: np.ndarray,
                         sensor_size: Sequence[int],
                         time_steps: int,
                         by_polarity: bool = False) -> np.ndarray:
    """Add up the events of each pixel, linearly interpolated in time.

    From `Unsupervised Event-based Learning of Optical Flow, Depth, and Egomotion <https://arxiv.org/abs/1812.08156>`_
    (Zhu et al. 2019). Times are scaled to ``t' = (T - 1) (t - first) / (last - first)``, so that the first event falls
    on step 0 and the last one on step T - 1. An event gives step k the weight ``max(0, 1 - |k - t'|)``; its weights sum
    to 1 and none is lost. Events of a single time are all in step 0.

    Args:
        events: Structured array (N,) with the integer fields ``x``, ``y``, ``t``, ``p``, in any order of time. None at
            all make an empty grid.
        sensor_size: Width, height and number of polarities.
        time_steps: Number of steps T.
        by_polarity: Whether polarities are kept apart and weights are positive. Otherwise events of polarity 0 count
            negative, unless the sensor has one polarity only.

    Returns:
        float32 (T, P, H, W) by polarity, else (T, 1, H, W).

    Raises:
        ValueError: If ``time_steps`` is out of range or an event lies outside the sensor.
    """
    check_time_steps('events_to_voxel_grid', time_steps)
    check_events(events, sensor_size)
    events = sort_events(events)
    width, height, polarities = sensor_size
    channels = polarities if by_polarity else 1
    elapsed = events['t'].astype(np.int64) - int(events['t'][0] if len(events) else 0)
    position = elapsed * (time_steps - 1) / max(elapsed[-1:].sum(), 1)
    step = position.astype(np.intp)
    later = position - step
    sign = 1 if by_polarity or polarities == 1 else 2 * events['p'].astype(np.int64) - 1
    size = channels * height * width
    # Without polarities, one plane is left out of the index.
    cells = cell_index(events, sensor_size) % size
    grid = sum(np.bincount(np.minimum(k, time_steps - 1) * size + cells, sign * weight, time_steps * size)
               for k, weight in ((step, 1 - later), (step + 1, later)))
    return grid.reshape(time_steps, channels, height, width).astype(np.float32)


@TRANSFORMS.register_module()
@dataclass
class EventsToVoxelGrid(EventTransform):
    """Turns ``events`` into ``frames``, a voxel grid, see :func:`events_to_voxel_grid`.

    Args:
        time_steps: Number of steps T.
        by_polarity: Whether polarities are kept apart, (T, P, H, W), instead of one channel with signs, (T, 1, H, W).

    Raises:
        ValueError: If ``time_steps`` is out of range.
    """

    time_steps: int
    by_polarity: bool = False
    random = False
    makes_frames = True

    def __post_init__(self) -> None:
        check_time_steps(type(self).__name__, self.time_steps)

    def transform(self, results: dict) -> dict:
        """Add ``frames``."""
        return dict(results, frames=events_to_voxel_grid(results['events'], results['sensor_size'], self.time_steps,
                                                         self.by_polarity))
