"""Curves and durations in a line of text."""
from typing import Sequence

import numpy as np

LEVELS = '▁▂▃▄▅▆▇█'


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve as a row of blocks, from its lowest to its highest value.

    Args:
        values: Evenly spaced; those that are not finite are left blank.
        width: At most so many blocks; longer curves are averaged piece by piece.
    """
    values = np.asarray(values, float)
    if len(values) > width:
        values = np.array([piece.mean() for piece in np.array_split(values, width)])
    finite = np.isfinite(values)
    if not finite.any():
        return ' ' * len(values)
    low, high = values[finite].min(), values[finite].max()
    levels = (values - low) / (high - low) * (len(LEVELS) - 1) if high > low else np.zeros(len(values))
    return ''.join(LEVELS[round(level)] if known else ' ' for level, known in zip(levels, finite))


def duration(seconds: float) -> str:
    """Seconds as ``'1:02:03'``, or ``'2:03'`` below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds:02}' if hours else f'{minutes}:{seconds:02}'
