"""What checkpoints hold beside tensors, made of plain data alone.

A pickle says which functions are called with what. NumPy's own believe it about types and memory, mmengine's history
buffers take methods from it, and ``getattr``, which their pickles name, leads from any function to all others. So the
names that a pickle may use stand for functions and classes of this file, which keep what it says; :func:`plain` then
makes arrays and buffers of that.
"""
import argparse
import re
from collections import Counter, OrderedDict
from contextlib import contextmanager
from math import prod
from pickle import UnpicklingError
from threading import Lock
from typing import Any, Callable, Dict, Iterator

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

# Booleans, numbers and text of a fixed length; no objects, no fields.
CODE = re.compile(r'[biufcSU]\d{1,9}')
LEAVES = (type(None), bool, int, float, complex, str, bytes, bytearray, torch.Size, torch.dtype, torch.device,
          torch.layout, np.generic)
CONTAINERS = (dict, OrderedDict, Counter)


# A pickle can make each of these without calling it, so what it says is checked where it is used.
class DtypeState:
    """A NumPy type as its pickle describes it."""

    code, state = None, None

    def __init__(self, code: str, *_) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def made(self) -> np.dtype:
        """The type.

        Raises:
            UnpicklingError: If it is none of booleans, numbers and text, or has fields.
        """
        _, order, *structure = self.state or (3, '=')
        if not (isinstance(self.code, str) and CODE.fullmatch(self.code)) or order not in ('<', '>', '=', '|') or any(
                part is not None for part in structure[:3]):
            raise UnpicklingError(f'it holds arrays of {self.code!r}' + (' with fields' if any(structure[:3]) else ''))
        return np.dtype(self.code).newbyteorder(order)


class ArrayState:
    """An array as its pickle describes it; the arguments are NumPy's, and say nothing."""

    state = None

    def __init__(self, *_) -> None:
        pass

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def made(self) -> np.ndarray:
        """The array.

        Raises:
            UnpicklingError: If its bytes are not those of its shape.
        """
        _, shape, dtype, is_fortran, content = self.state or [None] * 5
        if not isinstance(dtype, DtypeState):
            raise UnpicklingError('it holds an array of unknown type')
        return _array(shape, dtype.made(), 'F' if is_fortran else 'C', content)


class HistoryState:
    """A history buffer of mmengine's message hub as its pickle describes it."""

    state = None

    def __setstate__(self, state: dict) -> None:
        self.state = state

    def made(self) -> HistoryBuffer:
        """The buffer, with mmengine's own methods and not those that the file names.

        Raises:
            UnpicklingError: If it holds something else than numbers.
        """
        if not isinstance(self.state, dict):
            raise UnpicklingError('it holds a history buffer without content')
        history, counts, length = (plain(self.state.get(key)) for key in ('_log_history', '_count_history',
                                                                          'max_length'))
        if not isinstance(length, int) or not all(
                isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in 'biuf'
                for array in (history, counts)) or not len(history) == len(counts) <= length:
            raise UnpicklingError('it holds a history buffer of something else than numbers')
        return HistoryBuffer(history, counts, length)


def _array(shape: tuple, dtype: np.dtype, order: str, content: bytes) -> np.ndarray:
    if isinstance(content, str):  # of Python 2
        content = content.encode('latin1')
    if not (isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
            and isinstance(content, (bytes, bytearray)) and len(content) == prod(shape) * dtype.itemsize):
        raise UnpicklingError(f'it holds an array {shape} with other bytes than it needs')
    return np.ndarray(shape, dtype, bytes(content), order=order).copy('K')


def number(dtype: DtypeState, content: bytes) -> np.generic:
    """In place of NumPy's ``scalar``."""
    if not isinstance(dtype, DtypeState):
        raise UnpicklingError('it holds a number of unknown type')
    return _array((), dtype.made(), 'C', content)[()]


def method_name(owner: type, name: str) -> str:
    """In place of ``getattr``: mmengine's history buffers name methods of their own, which they have anyway."""
    if owner is not HistoryState or not isinstance(name, str):
        raise UnpicklingError('it calls builtins.getattr')
    return name


# What a pickle may name beside PyTorch's own, whichever version of NumPy wrote it, and what it gets.
NUMPY: Dict[str, Callable] = {
    'numpy.ndarray': ArrayState, 'numpy.dtype': DtypeState,
    **{f'numpy.{core}.multiarray.{name}': function for core in ('core', '_core')
       for name, function in (('_reconstruct', ArrayState), ('scalar', number))}}
NAMES: Dict[str, Callable] = {
    **NUMPY, 'builtins.getattr': method_name, 'mmengine.logging.history_buffer.HistoryBuffer': HistoryState,
    'argparse.Namespace': argparse.Namespace, 'builtins.bytes': bytes}

_LOCK = Lock()


@contextmanager
def only_names() -> Iterator[None]:
    """A context in which ``torch.load(..., weights_only=True)`` knows :data:`NAMES` and nothing that others allowed."""
    serialization = torch.serialization
    with _LOCK:
        allowed = serialization.get_safe_globals()
        serialization.clear_safe_globals()
        serialization.add_safe_globals([(function, name) for name, function in NAMES.items()])
        try:
            yield
        finally:
            serialization.clear_safe_globals()
            serialization.add_safe_globals(allowed)


def plain(value: Any) -> Any:
    """What was read under :func:`only_names`, with NumPy's and mmengine's objects in place of their descriptions.

    Containers are made anew, so nothing of them is left but their content; what was one object is one again.

    Raises:
        UnpicklingError: If it holds anything else than tensors, arrays, numbers, text and containers of these.
    """
    return _plain(value, {})


def _plain(value: Any, made: dict) -> Any:
    if id(value) not in made:
        made[id(value)] = _made(value, made)
    return made[id(value)]


def _made(value: Any, made: dict) -> Any:
    kind = type(value)
    if kind in CONTAINERS:
        result = kind()
        for key, item in kind.items(value):
            result[_plain(key, made)] = _plain(item, made)
        if '_metadata' in getattr(value, '__dict__', ()):  # versions of modules, in a state dict
            result._metadata = _plain(vars(value)['_metadata'], made)
        return result
    if kind in (list, tuple, set):
        return kind([_plain(item, made) for item in value])
    if kind is argparse.Namespace:
        return argparse.Namespace(**_plain(vars(value), made))
    if kind in (DtypeState, ArrayState, HistoryState):
        return value.made()
    if isinstance(value, Tensor):
        vars(value).clear()  # attributes that are no part of its numbers
        return value
    if isinstance(value, LEAVES):
        return value
    raise UnpicklingError(f'it holds a {kind.__name__}, which is neither a tensor nor plain data')
