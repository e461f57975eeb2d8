"""What all transforms of events and frames have in common."""
import math
from typing import Callable, ClassVar, Dict, Union

import numpy as np
from mmcv.transforms import BaseTransform

Frames = Union[np.ndarray, Dict[str, np.ndarray]]


class EventTransform(BaseTransform):
    """A dataclass over a pure function of arrays. Its ``repr`` names every argument, which a cache relies on.

    Before framing, ``results`` holds ``events``, a structured array sorted by time, and ``sensor_size`` (width, height,
    polarities); after it also ``frames``, (T, P, H, W) or one such array per view. What is drawn is drawn once per
    sample from NumPy's global generator: it is the same for all frames of all views. Arrays are never changed in
    place, since they may belong to the data set.

    Attributes:
        random: Whether two calls on one sample can differ. Frames are cached up to the first transform that is random.
        makes_frames: Whether it turns events into frames.
    """

    random: ClassVar[bool] = True
    makes_frames: ClassVar[bool] = False


def map_frames(function: Callable[[np.ndarray], np.ndarray], frames: Frames) -> Frames:
    """``function`` of frames, or of those of each view."""
    return {view: function(f) for view, f in frames.items()} if isinstance(frames, dict) else function(frames)


def check_range(owner: object, name: str, low: float, high: float = math.inf, whole: bool = False) -> None:
    """Check that ``owner.name`` is a finite number between ``low`` and ``high``.

    Args:
        owner: A transform.
        name: Of its argument.
        low: Least value.
        high: Largest value.
        whole: Whether it has to be a whole number.

    Raises:
        ValueError: If not; the message names class, argument and value.
    """
    value = getattr(owner, name)
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high or math.isinf(value):
        kind = 'a whole number' if whole else 'a number'
        limits = f'at least {low}' if high == math.inf else f'between {low} and {high}'
        raise ValueError(f'{type(owner).__name__}: {name}={value!r} must be {kind}, {limits}.')
