"""Augmentation of events and frames; what is drawn is drawn once per sample, so both views stay alike."""
import numpy as np
from mmcv.transforms import BaseTransform

from bkdsnn.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomEventFlip(BaseTransform):
    """Mirrors ``events`` left to right. Not for DVSGesture, where left and right are classes.

    Args:
        prob: With what probability.

    Raises:
        ValueError: If ``prob`` is not between 0 and 1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomEventFlip: prob={prob} must be between 0 and 1.')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change ``events`` and set ``flip``."""
        results['flip'] = bool(np.random.rand() < self.prob)
        if results['flip']:
            events = results['events'].copy()
            events['x'] = results['sensor_size'][0] - 1 - events['x']
            results['events'] = events
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


@TRANSFORMS.register_module()
class RandomFrameRoll(BaseTransform):
    """Shifts ``frames`` in both directions; what leaves at one side enters at the other, so no event is lost.

    Args:
        max_shift: Largest shift in pixels.

    Raises:
        ValueError: If ``max_shift`` is negative.
    """

    def __init__(self, max_shift: int = 5) -> None:
        if max_shift < 0:
            raise ValueError(f'RandomFrameRoll: max_shift={max_shift} must not be negative.')
        self.max_shift = max_shift

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        shift = tuple(np.random.randint(-self.max_shift, self.max_shift + 1, size=2))
        frames = results['frames']
        results['frames'] = ({view: np.roll(f, shift, (-2, -1)) for view, f in frames.items()}
                             if isinstance(frames, dict) else np.roll(frames, shift, (-2, -1)))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(max_shift={self.max_shift})'
