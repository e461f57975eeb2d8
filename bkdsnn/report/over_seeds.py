"""Means, spreads and gains over seeds, and what they allow to say."""
import math
import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional

import numpy as np
from scipy.stats import t as student_t


@dataclass
class Curve:
    """One value over epochs or time steps: ``x`` (E, ) and ``values`` (S, E), one row per seed."""

    x: np.ndarray
    values: np.ndarray

    @classmethod
    def stack(cls, seeds: List[Dict[int, List[float]]]) -> Optional['Curve']:
        """Mean of what each seed logged, at the points that all of them have; ``None`` if there is no such point."""
        points = sorted(set.intersection(*map(set, seeds))) if seeds else []
        if not points:
            return None
        return cls(np.array(points), np.array([[statistics.mean(seed[x]) for x in points] for seed in seeds]))

    @property
    def mean(self) -> np.ndarray:
        """Mean over seeds, shape (E, )."""
        return self.values.mean(0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over seeds, shape (E, ); zeros for one seed."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.zeros(len(self.x))


@dataclass
class Gain:
    """Differences to the baseline in percentage points, seed by seed."""

    differences: List[float]

    @property
    def mean(self) -> float:
        """Mean difference."""
        return statistics.mean(self.differences)

    @property
    def error(self) -> Optional[float]:
        """Standard error of the mean; ``None`` for one seed."""
        n = len(self.differences)
        return statistics.stdev(self.differences) / math.sqrt(n) if n > 1 else None

    @property
    def half_width(self) -> float:
        """Half of the 95% confidence interval (Student's t); infinite for one seed."""
        freedom = len(self.differences) - 1
        if freedom < 1:
            return math.inf
        return float(student_t.ppf(0.975, freedom)) * self.error

    @property
    def wins(self) -> int:
        """On how many seeds the method is ahead."""
        return sum(difference > 0 for difference in self.differences)


def spread(values: List[float]) -> Optional[float]:
    """Standard deviation; ``None`` for one value."""
    return statistics.stdev(values) if len(values) > 1 else None


def verdict(name: str, mean: float, gain: Gain, baseline: str) -> str:
    """One sentence on what the seeds allow to say about runs against the baseline."""
    seeds = len(gain.differences)
    start = f'{name} reaches {mean:.2f} % on average, {gain.mean:+.2f} points against {baseline}'
    if seeds < 2:
        return f'{start}, from one seed: chance cannot be told from effect.'
    low, high = gain.mean - gain.half_width, gain.mean + gain.half_width
    if low > 0:
        meaning = f'better than {baseline} by more than the seeds scatter'
    elif high < 0:
        meaning = f'worse than {baseline} by more than the seeds scatter'
    else:
        meaning = f'these {seeds} seeds do not tell it from {baseline}'
    return f'{start} (95 % interval {low:+.2f} to {high:+.2f}; ahead on {gain.wins} of {seeds} seeds): {meaning}.'
