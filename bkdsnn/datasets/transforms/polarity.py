"""Transforms of polarity and of the direction of time."""
from dataclasses import dataclass

import numpy as np

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform, check_range


def flip_polarity(events: np.ndarray) -> np.ndarray:
    """Events whose ON is OFF and whose OFF is ON."""
    flipped = events.copy()
    flipped['p'] = 1 - events['p'].astype(np.int8)
    return flipped


def reverse_time(events: np.ndarray) -> np.ndarray:
    """Events as a recording that is played backwards has them, between the same first and last time."""
    backwards = events[::-1].copy()
    if len(events):
        backwards['t'] = events['t'][0] + (events['t'][-1] - backwards['t'])
    return backwards


@TRANSFORMS.register_module()
@dataclass
class MergePolarities(EventTransform):
    """Makes all ``events`` of one polarity, of which ``sensor_size`` then has one."""

    random = False

    def transform(self, results: dict) -> dict:
        """Change ``events`` and ``sensor_size``."""
        events = results['events'].copy()
        events['p'] = 0
        return dict(results, events=events, sensor_size=(*results['sensor_size'][:2], 1))


@TRANSFORMS.register_module()
@dataclass
class RandomPolarityFlip(EventTransform):
    """Exchanges ON and OFF in all ``events`` of a recording, as a negative of the scene does.

    Args:
        prob: With what probability.

    Raises:
        ValueError: If there are not two polarities.
    """

    prob: float = 0.5

    def __post_init__(self) -> None:
        check_range(self, 'prob', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        _check_polarities(self, results)
        return dict(results, events=flip_polarity(results['events'])) if np.random.rand() < self.prob else results


@TRANSFORMS.register_module()
@dataclass
class RandomTimeReversal(EventTransform):
    """Plays a recording backwards, in which what brightened darkens.

    Args:
        prob: With what probability.
        flip_polarities: Whether to exchange ON and OFF as well.

    Raises:
        ValueError: If polarities are to be exchanged and there are not two.
    """

    prob: float = 0.5
    flip_polarities: bool = True

    def __post_init__(self) -> None:
        check_range(self, 'prob', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        if self.flip_polarities:
            _check_polarities(self, results)
        if np.random.rand() >= self.prob:
            return results
        events = reverse_time(results['events'])
        return dict(results, events=flip_polarity(events) if self.flip_polarities else events)


def _check_polarities(owner: object, results: dict) -> None:
    if results['sensor_size'][2] != 2:
        raise ValueError(f'{type(owner).__name__}: events have {results["sensor_size"][2]} polarities, and only two '
                         'can be exchanged. Put it before MergePolarities.')
