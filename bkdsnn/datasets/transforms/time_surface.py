"""Events to time surfaces: how long ago each pixel fired last."""
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from bkdsnn.registry import TRANSFORMS

from ..events import check_events, sort_events
from .base import EventTransform, check_range
from .frames import cell_index, check_time_steps, step_bounds


def events_to_time_surface(events: np.ndarray, sensor_size: Sequence[int], time_steps: int, tau: float) -> np.ndarray:
    """The surface ``exp(-(end - last) / tau)`` at the end of each time step, with each cell's last event so far.

    From `HOTS: A Hierarchy of Event-Based Time-Surfaces for Pattern Recognition
    <https://doi.org/10.1109/TPAMI.2016.2574707>`_ (Lagorce et al. 2016), over the whole sensor. Time steps are windows
    of equal duration between the first and the last event. Surfaces remember events of earlier steps.

    Args:
        events: Structured array (N,) with the integer fields ``x``, ``y``, ``t``, ``p``, in any order of time. None at
            all make empty surfaces.
        sensor_size: Width, height and number of polarities.
        time_steps: Number of surfaces T.
        tau: Time constant in microseconds.

    Returns:
        float32 (T, P, H, W) between 0 and 1; 0 where nothing has fired yet.

    Raises:
        ValueError: If an argument is out of range or an event lies outside the sensor.
    """
    check_time_steps('events_to_time_surface', time_steps)
    if not tau > 0:
        raise ValueError(f'events_to_time_surface: tau={tau} must be above 0.')
    check_events(events, sensor_size)
    width, height, polarities = sensor_size
    surfaces = np.zeros((time_steps, polarities * height * width), np.float32)
    if len(events):
        events = sort_events(events)
        elapsed = events['t'].astype(np.int64) - int(events['t'][0])
        bounds = step_bounds(elapsed, time_steps)
        cells = cell_index(events, sensor_size)
        step = (elapsed[-1] + 1) / time_steps
        last = np.full(surfaces.shape[1], -np.inf)
        for k, (start, stop) in enumerate(zip(bounds, bounds[1:])):
            last[cells[start:stop]] = elapsed[start:stop]  # of several events in one cell, the last one stays
            surfaces[k] = np.exp((last - (k + 1) * step) / tau)
    return surfaces.reshape(time_steps, polarities, height, width)


@TRANSFORMS.register_module()
@dataclass
class EventsToTimeSurface(EventTransform):
    """Turns ``events`` into ``frames``, time surfaces (T, P, H, W), see :func:`events_to_time_surface`.

    Args:
        time_steps: Number of surfaces T.
        tau: Time constant in microseconds.

    Raises:
        ValueError: If an argument is out of range.
    """

    time_steps: int
    tau: float
    random = False
    makes_frames = True

    def __post_init__(self) -> None:
        check_time_steps(type(self).__name__, self.time_steps)
        check_range(self, 'tau', 1)

    def transform(self, results: dict) -> dict:
        """Add ``frames``."""
        return dict(results, frames=events_to_time_surface(results['events'], results['sensor_size'], self.time_steps,
                                                           self.tau))
