"""Values of a config against the types that arguments are declared to have."""
import inspect
import numbers
import types
import typing
from collections import abc
from typing import Any

from torch import Tensor

UNIONS = (typing.Union, getattr(types, 'UnionType', typing.Union))
# What values of the plain types are in a config, and how they are called, one and many.
PLAIN = {bool: bool, int: numbers.Integral, float: numbers.Real, numbers.Number: numbers.Real, str: str,
         type(None): type(None)}
WORDS = {bool: 'True or False', int: 'a whole number', float: 'a number', numbers.Number: 'a number', str: 'text',
         type(None): 'None', Tensor: 'a tensor'}
MANY = {int: 'whole numbers', float: 'numbers', numbers.Number: 'numbers', str: 'texts', dict: 'dicts'}
LISTS = (list, tuple, set, range)
# Modules of classes whose objects no text stands for.
OBJECTS = ('torch.nn', 'torch.optim', 'torch.utils', 'mmengine')


def fits(value: Any, hint: Any, exact: bool = True) -> bool:
    """Whether a value of a config is of a declared type, as configs have it: lists for tuples, dicts for objects.

    Without ``exact``, what is often declared carelessly is let pass: fractions for whole numbers, lists for what is in
    them, anything for text, and nothing for a dict or a list.
    """
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in UNIONS:
        return any(fits(value, part, exact) for part in parts)
    if kind is typing.Literal:
        return value in parts
    if not exact and kind is not bool and (isinstance(value, LISTS) or kind is str and value is not None):
        return True
    if kind in PLAIN:
        kind = float if kind is int and not exact else kind
        return isinstance(value, PLAIN[kind]) and (kind is bool or not isinstance(value, bool))
    if not inspect.isclass(kind) or kind is Any or value is None and not exact:
        return True
    if issubclass(kind, abc.Mapping):
        return isinstance(value, abc.Mapping)
    return _fits_list(value, parts, exact) if _is_list(kind) else _fits_object(value, kind)


def _fits_list(value: Any, parts: tuple, exact: bool) -> bool:
    if isinstance(value, str):
        return parts[:1] == (str, )
    if not isinstance(value, LISTS):
        return not exact and not isinstance(value, bool)
    parts = [part for part in parts if part is not Ellipsis]
    return not parts or all(any(fits(item, part, exact) for part in parts) for item in value)


def _fits_object(value: Any, kind: type) -> bool:
    """An object, or a dict that it is made of; of some classes also a text."""
    text = (str, ) if kind is Tensor or kind.__module__.startswith(OBJECTS) else ()
    return value is not None and not isinstance(value, (numbers.Number, *text))


def _is_list(kind: type) -> bool:
    return issubclass(kind, abc.Iterable) and kind.__module__ in ('builtins', 'collections.abc')


def in_words(hint: Any) -> str:
    """What a declared type is in a config."""
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in UNIONS:
        return ' or '.join(dict.fromkeys(map(in_words, parts)))
    if kind is typing.Literal:
        return f'one of {", ".join(map(repr, parts))}'
    if kind in WORDS or not inspect.isclass(kind):
        return WORDS.get(kind, str(kind))
    if issubclass(kind, abc.Mapping):
        return 'a dict'
    if _is_list(kind):
        return f'a list of {MANY[parts[0]]}' if parts and parts[0] in MANY else 'a list'
    return kind.__name__
