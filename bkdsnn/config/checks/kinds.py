"""Kinds of values that a setting may have: each tells whether it takes a value, and what it takes in words."""
import math
import numbers
from typing import Any, NamedTuple, Optional, Sequence


class Number(NamedTuple):
    """Numbers that make sense somewhere.

    Attributes:
        least: The smallest.
        most: The largest.
        above: What they are larger than.
        below: What they are smaller than.
        whole: Whether they are whole.
        infinite: Whether infinity is one of them.
        also: Others that have a meaning of their own.
        many: Whether there may be a list of them.
        dicts: Whether there may be a dict instead, as for a schedule.
    """

    least: Optional[float] = None
    most: Optional[float] = None
    above: Optional[float] = None
    below: Optional[float] = None
    whole: bool = False
    infinite: bool = False
    also: Sequence[float] = ()
    many: bool = False
    dicts: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is such a number."""
        if self.many and isinstance(value, (list, tuple)):
            return all(map(self.takes, value))
        if not isinstance(value, bool) and value in self.also:
            return True
        if isinstance(value, bool) or not isinstance(value, numbers.Integral if self.whole else numbers.Real):
            return False
        return not math.isnan(value) and (self.infinite or math.isfinite(value)) and not (
            self.least is not None and value < self.least or self.most is not None and value > self.most
            or self.above is not None and value <= self.above or self.below is not None and value >= self.below)

    def __str__(self) -> str:
        bounds = ((self.least, 'of at least'), (self.above, 'above'), (self.most, 'of at most'), (self.below, 'below'))
        said = ' and '.join(f'{word} {bound}' for bound, word in bounds if bound is not None)
        kind = 'a whole number' if self.whole else 'a number' if self.infinite else 'a finite number'
        others = [f'{value}' for value in self.also] + ['a list of such'] * self.many
        return ' '.join(filter(None, [kind, said])) + ''.join(f', or {other}' for other in others)


class OneOf(NamedTuple):
    """Texts that mean something."""

    values: Sequence[str]

    def takes(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def __str__(self) -> str:
        return f'one of {", ".join(map(repr, self.values))}'


class Switch:
    """``True`` or ``False``, and no number."""

    def takes(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return 'True or False'


class Section(NamedTuple):
    """A dict of settings, which may be empty, or nothing; with ``lists``, also a list of such."""

    lists: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is one."""
        if self.lists and isinstance(value, (list, tuple)):
            return all(isinstance(entry, dict) for entry in value)
        return value is None or isinstance(value, dict)

    def __str__(self) -> str:
        return 'a dict of settings' + ', or a list of such' * self.lists


class Filled(NamedTuple):
    """A text, list or dict that is not empty; or, with ``or_none``, nothing."""

    kind: type
    or_none: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a value is one."""
        kind = (list, tuple) if self.kind is list else self.kind
        return isinstance(value, kind) and len(value) > 0 or value is None and self.or_none

    def __str__(self) -> str:
        kind = {str: 'a path', list: 'a list with at least one entry', dict: 'a dict with a type'}[self.kind]
        return f'{kind}, or None' if self.or_none else kind
