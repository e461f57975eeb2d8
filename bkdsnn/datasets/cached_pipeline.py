"""Data sets that keep what the deterministic first part of their pipeline makes, and name samples that are damaged."""
import ast
import hashlib
import inspect
import json
import logging
import os.path as osp
import shutil
import textwrap
from contextlib import suppress
from itertools import takewhile
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set

import numpy as np
from mmcv.transforms import BaseTransform, CenterCrop, LoadImageFromFile, Pad, Resize
from mmengine.logging import print_log
from mmpretrain.datasets import EfficientNetCenterCrop, ResizeEdge

from .sample_cache import Arrays, SampleCache, UnreadableSample

# What is not random of those that do not say so themselves. No subclasses, as those may be.
NOT_RANDOM = (LoadImageFromFile, Resize, ResizeEdge, CenterCrop, EfficientNetCenterCrop, Pad)
# Packages whose transforms change with their versions alone.
VERSIONED = ('abc', 'bkdsnn', 'builtins', 'mmcv', 'mmengine', 'mmpretrain')
# Name of the text among the arrays of a sample.
JSON = '.json'
# Samples that the size of a cache is estimated from, and those that are looked up in it.
PROBED, ASKED = 16, 1000
# What to do with a sample that cannot be read.
ON_ERROR = ('raise', 'skip')
# As many in a row, and it is no longer a few damaged files.
MOST_IN_A_ROW = 100


class _Dropped(Exception):
    """A transform has dropped the sample."""


class _Unreadable(Exception):
    """A sample cannot be read, for the reason that is its cause."""


def is_random(step: object) -> bool:
    """Whether two calls of a transform on one sample can differ: what its ``random`` says, or else what is known."""
    return getattr(step, 'random', type(step) not in NOT_RANDOM)


def text_of(step: object) -> str:
    """A transform and its arguments, and a hash of the code of classes of one's own: its, and of transforms in it."""
    code = ''.join(_code_of(step))
    return f'{step!r} of {hashlib.sha256(code.encode()).hexdigest()[:8]}' if code else repr(step)


def _code_of(step: object) -> Iterator[str]:
    """What classes of one's own say, without their comments."""
    for cls in type(step).__mro__:
        if cls.__module__.partition('.')[0] not in VERSIONED:
            with suppress(OSError, TypeError, SyntaxError):  # typed at a prompt
                yield ast.dump(ast.parse(textwrap.dedent(inspect.getsource(cls))))
    for value in getattr(step, '__dict__', {}).values():
        for inner in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(inner, BaseTransform):
                yield from _code_of(inner)


def changed(data_info: dict, results: dict) -> dict:
    """What transforms have set, or made another object of."""
    return {key: value for key, value in results.items() if key not in data_info or value is not data_info[key]}


def to_text(others: Dict[str, Any]) -> np.ndarray:
    """What transforms have set beside arrays, as bytes of JSON.

    Raises:
        TypeError: If a cache cannot keep it.
    """
    for key, value in others.items():
        if not isinstance(value, (type(None), bool, int, float, str, tuple, np.generic)):
            raise TypeError(f'the cached transforms have set {key!r} to {value!r}, which a cache cannot keep. Set '
                            'cache_dir=None.')
    return np.frombuffer(json.dumps(others, default=np.generic.item).encode(), np.uint8)


def from_text(text: np.ndarray) -> Dict[str, Any]:
    """What was made text of; lists become tuples."""
    others = json.loads(text.tobytes())
    return {key: tuple(value) if isinstance(value, list) else value for key, value in others.items()}


class CachedPipeline:
    """What a data set inherits before mmengine's ``BaseDataset`` to get a ``cache_dir`` and ``on_error``.

    It calls :meth:`open_cache` once it is built. A sample is then made up to the first random transform once, and kept
    as :meth:`kept` says; see :class:`~bkdsnn.datasets.sample_cache.SampleCache`. Errors on the way name its file.

    Attributes:
        cache: ``None`` where there is none.
        cached_steps: Number of transforms whose result is kept.
        on_error: ``'raise'``, or ``'skip'``: another sample, drawn at random, is taken for one that cannot be read.
        skipped: Files of such samples, as far as this process has seen them.
    """

    kind = 'samples'
    cache: Optional[SampleCache] = None
    cached_steps = 0
    on_error = 'raise'
    _in_a_row = 0

    def set_on_error(self, on_error: str) -> None:
        """Say what to do with samples that cannot be read.

        Raises:
            ValueError: If it is unknown.
        """
        if on_error not in ON_ERROR:
            raise ValueError(f'{type(self).__name__}: on_error={on_error!r} is unknown; choose from {list(ON_ERROR)}.')
        self.on_error = on_error
        self.skipped: Set[str] = set()

    def check_cached(self, steps: Sequence) -> None:
        """Raise ValueError if it is no use to keep what these first transforms make."""

    def source(self) -> str:
        """Text that, with a sample's name and its file, determines the sample that the pipeline gets."""
        return type(self).__name__

    def setting(self) -> str:
        """Text for whatever else the transforms' result depends on."""
        raise NotImplementedError

    def name_of(self, data_info: dict) -> str:
        """Name of a sample, unique within the source."""
        return osp.relpath(self.file_of(data_info), self.data_root or '').replace(osp.sep, '/')

    def file_of(self, data_info: dict) -> Optional[str]:
        """File that a sample is read from; ``None`` if there is none."""
        raise NotImplementedError

    def read(self, data_info: dict) -> Optional[dict]:
        """What the first transform gets; ``None`` drops the sample."""
        return data_info

    def kept(self, data_info: dict, results: dict) -> Arrays:
        """The arrays to keep of what the last of the cached transforms returned."""
        raise NotImplementedError

    def restored(self, data_info: dict, arrays: Arrays) -> dict:
        """What the first transform that is not cached gets."""
        raise NotImplementedError

    def open_cache(self, cache_dir: Optional[str]) -> None:
        """Keep samples in a folder of ``cache_dir``, which is relative to ``data_root``; ``None`` keeps none.

        Raises:
            ValueError: If there is nothing to keep, or a transform does not say what its arguments are.
        """
        if cache_dir is None:
            return
        steps = list(takewhile(lambda step: not is_random(step), self.pipeline.transforms))
        self.check_cached(steps)
        text = ', '.join(map(text_of, steps))
        if ' at 0x' in text:
            raise ValueError(f'{type(self).__name__}: {text} does not name the arguments of all transforms, so that '
                             f'cached {self.kind} could be wrong. Make them dataclasses, or set cache_dir=None.')
        folder = osp.join(self.data_root or '', osp.expanduser(cache_dir))
        self.cache, self.cached_steps = SampleCache(folder, self.source(), f'{self.setting()}: {text}'), len(steps)
        number, size = self.cache.size()
        print_log(f'{type(self).__name__}: {self.kind} are cached in {self.cache.folder}: {number:,} samples so '
                  f'far, {size / 1e6:,.0f} MB.', logger='current')

    def check_room(self) -> None:
        """Estimate the cache's size from a few samples.

        Raises:
            ValueError: If the disk has less room.
        """
        # Another split may have its samples in the same folder.
        absent = self._absent(ASKED)
        share = sum(absent.values()) / max(1, len(absent))
        probed = self._absent(PROBED)
        for idx in probed:
            self.fill(idx)
        number, size = self.cache.size()
        missing = max(0, share * len(self) - sum(probed.values())) * size / max(1, number)
        free = shutil.disk_usage(self.cache.folder).free if number else missing
        if missing > free:
            raise ValueError(
                f'{type(self).__name__}: a cache of {len(self):,} {self.kind} needs about {missing / 1e9:,.1f} GB more '
                f'in {self.cache.folder}, where {free / 1e9:,.1f} GB are free. Make them smaller by a transform that '
                'is not random, such as mmpretrain.ResizeEdge, before the first random one; choose another cache_dir; '
                'or set cache_dir=None.')

    def _absent(self, number: int) -> Dict[int, bool]:
        """Whether the cache lacks them, of about so many samples, spread over the data set."""
        spread = range(0, len(self), max(1, len(self) // number))
        return {idx: not self.cache.has(self.name_of(self.get_data_info(idx))) for idx in spread}

    def cached(self, data_info: dict, rebuild: bool = False) -> Arrays:
        """What the cache has of one sample; it is filled if need be."""

        def make() -> Arrays:
            results = self._run(data_info, self._read(dict(data_info)), self.pipeline.transforms[:self.cached_steps])
            return self.kept(data_info, results)

        try:
            return self.cache.get(self.name_of(data_info), self.file_of(data_info), make, rebuild)
        except UnreadableSample as error:
            raise _Unreadable from error

    def fill(self, idx: int, rebuild: bool = False) -> None:
        """Put one sample into the cache unless it is there, or it is dropped."""
        data_info = self.get_data_info(idx)
        try:
            with suppress(_Dropped):
                self.cached(data_info, rebuild)
            self._in_a_row = 0
        except _Unreadable as error:
            self._skip(data_info, error)

    def prepare_data(self, idx: int):
        """One sample through the pipeline; ``None`` if a transform drops it, or it cannot be read and is skipped.

        Raises:
            OSError, ValueError: If it cannot be read, or a transform fails; the message names its file.
        """
        data_info = self.get_data_info(idx)
        try:
            results = self._read(data_info) if self.cache is None else self.restored(data_info, self.cached(data_info))
            results = self._run(data_info, results, self.pipeline.transforms[self.cached_steps:])
        except _Dropped:
            return None
        except _Unreadable as error:
            return self._skip(data_info, error)
        self._in_a_row = 0
        return results

    def _where(self, data_info: dict) -> str:
        return self.file_of(data_info) or self.name_of(data_info)

    def _read(self, data_info: dict) -> dict:
        try:
            results = self.read(data_info)
        except (OSError, ValueError) as error:
            raise _Unreadable from error
        if results is None:
            raise _Dropped
        return results

    def _run(self, data_info: dict, results: dict, steps: Sequence) -> dict:
        """What transforms make of a sample."""
        for step in steps:
            try:
                results = step(results)
            except (MemoryError, RuntimeError):
                raise
            except Exception as error:  # libraries raise what they like, and do not know the file
                text = str(error) or type(error).__name__
                named = f'{type(self).__name__}: {self._where(data_info)}: {type(step).__name__}: {text}'
                if isinstance(step, LoadImageFromFile):
                    raise _Unreadable from OSError(named)
                raise (OSError if isinstance(error, OSError) else ValueError)(named) from error
            if results is None:
                raise _Dropped
        return results

    def _skip(self, data_info: dict, error: _Unreadable) -> None:
        """Count a sample that cannot be read, or raise the reason."""
        if self.on_error == 'raise':
            raise error.__cause__
        self._in_a_row += 1
        if self._in_a_row == MOST_IN_A_ROW:
            raise ValueError(f'{type(self).__name__}: {MOST_IN_A_ROW} samples in a row cannot be read, which '
                             f"on_error='skip' is not for. The last one: {error.__cause__}") from error.__cause__
        where = self._where(data_info)
        if where not in self.skipped:
            self.skipped.add(where)
            print_log(f'{type(self).__name__}: {error.__cause__} Another sample is taken instead ({len(self.skipped)} '
                      'of them so far in this process).', logger='current', level=logging.WARNING)

    def extra_repr(self) -> List[str]:
        return [*super().extra_repr(), f'Cache: \t{self.cache and self.cache.folder}']
