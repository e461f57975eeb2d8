"""A grid of settings that grows around its best point.

The first points are a start and its neighbours along each axis. Then, as often as there are points left, come the best
point's neighbours that were not tried: along the axes, so that a best point on the grid's edge extends it; then on the
diagonals; and at last halfway between it and its neighbours. What comes next follows from the scores alone, not from
the order in which they arrive.
"""
import itertools
import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

# Steps along each axis from the start, in units of the axis's factor; halves and quarters are exact.
Place = Tuple[float, ...]
# Mean accuracy, or None where training failed.
Scores = Dict[Place, Optional[float]]


@dataclass(frozen=True)
class Axis:
    """A number of a config, and the values to try.

    Attributes:
        key: Where it stands in the config.
        start: Its value at 0.
        factor: From one value to the next; 3 stands for 3 and 10/3 in turn: 0.1, 0.3, 1, 3, 10. Halfway between two
            values 10 apart is that series too.
    """

    key: str
    start: float
    factor: float

    def value(self, steps: float) -> float:
        """The value so many steps away from the start, to three digits."""
        thirds = steps * {3: 1, 10: 2}.get(self.factor, math.nan)
        if thirds % 1 == 0:
            odd = 10 / 3 if f'{self.start:.9e}'.startswith('3.000') else 3
            value = self.start * odd**(thirds % 2) * 10.0**(thirds // 2)
        else:
            factor = math.sqrt(10) if self.factor == 3 else self.factor
            value = self.start * factor**steps
        return float(f'{value:.3g}')

    @property
    def name(self) -> str:
        """Short, as in ``'tau'``."""
        return self.key.rpartition('.')[2]


def next_places(dimensions: int, budget: int, scores: Scores) -> List[Place]:
    """Where to look next: what has no score yet of the points that are to be tried together.

    Args:
        dimensions: Number of axes.
        budget: How many points may be tried in all.
        scores: Of the points that were tried.

    Returns:
        Places, in their order; none when the search has ended.
    """
    tried: Scores = {}
    while len(tried) < budget:
        together = _generation(dimensions, tried)[:budget - len(tried)]
        missing = [place for place in together if place not in scores]
        if missing:
            return missing
        tried.update({place: scores[place] for place in together})
    return []


def best_place(scores: Scores) -> Optional[Place]:
    """The place with the highest score, of equal ones the first; ``None`` if all have failed."""
    scored = {place: score for place, score in scores.items() if score is not None}
    return max(scored, key=scored.get, default=None)


def on_edge(place: Place, scores: Scores) -> bool:
    """Whether nothing that was tried lies beyond a place, along one of the axes."""
    return any(not min(values) < here < max(values) for here, *values in zip(place, *scores))


def _generation(dimensions: int, tried: Scores) -> List[Place]:
    """The points to try together after others, never none."""
    start = (0.0, ) * dimensions
    if not tried:
        return [start, *_around(start, 1.0, 1)]
    best = best_place(tried)
    if best is None:  # less along the first axis, the learning rate where it is tuned, is what failed runs need
        return [(min(place[0] for place in tried) - 1, *start[1:])]
    step = 1.0
    while True:
        # Along the axes, then along pairs of them.
        for axes in (1, 2):
            new = [place for place in _around(best, step, axes) if place not in tried]
            if new:
                return new
        step /= 2


def _around(place: Place, step: float, axes: int) -> List[Place]:
    """Neighbours of a place that differ along so many axes."""
    moves = [move for move in itertools.product((0, -1, 1), repeat=len(place)) if sum(map(abs, move)) == axes]
    moves.sort(key=lambda move: [direction == 0 for direction in move])  # along the first axis first
    return [tuple(here + step * direction for here, direction in zip(place, move)) for move in moves]
