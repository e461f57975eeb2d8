"""Fewer frames than there are."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform, check_range
from .views import VIEWS


@TRANSFORMS.register_module()
@dataclass
class RandomTimeSteps(EventTransform):
    """Keeps some of the ``frames``, chosen at random and in their order, as SEW-ResNet trains on DVS128 Gesture.

    Args:
        keep: Number of frames.
        view: Whose frames, where there are two views; those of the other all stay.

    Raises:
        ValueError: If there are fewer frames, or the view does not fit.
    """

    keep: int
    view: Optional[str] = None

    def __post_init__(self) -> None:
        check_range(self, 'keep', 1, whole=True)
        if self.view not in (None, *VIEWS):
            raise ValueError(f'RandomTimeSteps: view={self.view!r} is unknown; choose from {list(VIEWS)}.')

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        frames = results['frames']
        if isinstance(frames, dict) != (self.view is not None):
            raise ValueError(f'RandomTimeSteps: view={self.view!r} but frames are '
                             f'{"of " + " and ".join(frames) if isinstance(frames, dict) else "of one view"}.')
        if self.view is None:
            return dict(results, frames=self._choose(frames))
        return dict(results, frames={**frames, self.view: self._choose(frames[self.view])})

    def _choose(self, frames: np.ndarray) -> np.ndarray:
        if self.keep > len(frames):
            raise ValueError(f'RandomTimeSteps: keep={self.keep} of only {len(frames)} frames.')
        return frames[np.sort(np.random.permutation(len(frames))[:self.keep])]
