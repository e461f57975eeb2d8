"""Numbers of a loss that change over training."""
import math
from typing import Sequence, Tuple, Union

KINDS = ('linear', 'cosine', 'step')


class Schedule:
    """A number as a function of how far training is.

    Args:
        points: (progress, value) pairs; progress rises from 0, the first step, to 1, the end of training.
        kind: How values go from one point to the next: ``'linear'``, ``'cosine'``, or ``'step'``, which stays at a
            point's value until the next point.
        by_epoch: Whether the number stays the same within an epoch, where there are several; a run by iterations has
            none.

    Raises:
        ValueError: If the points do not rise from 0 to 1, a value is no finite number, or the kind is unknown.
    """

    def __init__(self, points: Sequence[Tuple[float, float]], kind: str = 'linear', by_epoch: bool = False) -> None:
        if kind not in KINDS:
            raise ValueError(f'kind={kind!r} is unknown; choose from {KINDS}.')
        if not (isinstance(points, (list, tuple)) and all(isinstance(point, (list, tuple)) and len(point) == 2
                                                          for point in points)):
            raise ValueError(f'points={points!r} must be (progress, value) pairs.')
        at = [progress for progress, _ in points]
        if len(at) < 2 or at[0] != 0 or at[-1] != 1 or sorted(set(at)) != at:
            raise ValueError(f'points={points!r} must rise from progress 0 to 1, the end of training; to keep the last '
                             'value, add it at 1.')
        if not all(is_number(value) for _, value in points):
            raise ValueError(f'points={points!r}: each value must be a finite number.')
        self.points, self.kind, self.by_epoch = [tuple(point) for point in points], kind, by_epoch

    @property
    def values(self) -> list:
        """Values of the points, between which all others are."""
        return [value for _, value in self.points]

    def __call__(self, progress: float) -> float:
        """The number at a progress from 0 to 1."""
        for (start, a), (end, b) in zip(self.points, self.points[1:]):
            if progress < end or end == 1:
                part = min((progress - start) / (end - start), 1.0)
                if self.kind == 'step':
                    return b if part == 1 else a
                part = (1 - math.cos(math.pi * part)) / 2 if self.kind == 'cosine' else part
                return a + (b - a) * part

    def __repr__(self) -> str:
        return f'{self.kind} schedule {self.points}'


class Scheduled:
    """An attribute of a loss that is a number, or ``dict(points=..., kind=...)`` of a :class:`Schedule`.

    Reading it gives the number of the moment, which follows from the loss's ``progress``.

    Args:
        may_vanish: Whether a schedule may start or end at zero; a number may not.
        may_be_zero: Whether a number may be zero too, as the weight of one of a loss's terms.
        least: The smallest value that makes sense.
        hint: What the error says beside the range.
    """

    def __init__(self, may_vanish: bool = False, may_be_zero: bool = False, least: float = 0.0, hint: str = '') -> None:
        self.may_vanish, self.may_be_zero = may_vanish or may_be_zero, may_be_zero
        self.least, self.hint = least, hint

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, loss, owner: type = None) -> Union[float, 'Scheduled']:
        if loss is None:
            return self
        value = loss.__dict__[f'_{self.name}']
        return value(loss.progress_of(value.by_epoch)) if isinstance(value, Schedule) else value

    def __set__(self, loss, value: Union[float, dict, Schedule]) -> None:
        what = f'{type(loss).__name__}: {self.name}'
        if isinstance(value, dict):
            try:
                value = Schedule(**value)
            except (TypeError, ValueError) as error:
                raise ValueError(f'{what}={value!r} is no schedule: {error}') from error
        lowest = min(value.values) if isinstance(value, Schedule) else value
        may_be_zero = self.may_vanish if isinstance(value, Schedule) else self.may_be_zero
        if not is_number(lowest) or lowest < self.least or lowest == 0 and not may_be_zero:
            kind = 'a positive number' + ' or zero' * self.may_be_zero
            kind += f' of at least {self.least:g}' * bool(self.least)
            raise ValueError(f'{what}={value!r} must be {kind}, or dict(points=[(0, a), (1, b)]) of such.'
                             f'{self.hint}')
        loss.__dict__[f'_{self.name}'] = value


def is_number(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
