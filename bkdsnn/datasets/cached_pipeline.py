"""Data sets that keep what the deterministic first part of their pipeline makes."""
import os.path as osp
import shutil
from contextlib import suppress
from itertools import takewhile
from typing import List, Optional, Sequence

from mmcv.transforms import CenterCrop, LoadImageFromFile, Pad, Resize
from mmengine.logging import print_log
from mmpretrain.datasets import EfficientNetCenterCrop, ResizeEdge

from .sample_cache import Arrays, SampleCache

# What is not random of those that do not say so themselves. No subclasses, as those may be.
NOT_RANDOM = (LoadImageFromFile, Resize, ResizeEdge, CenterCrop, EfficientNetCenterCrop, Pad)
# Samples that the size of a cache is estimated from.
PROBED = 16


class _Dropped(Exception):
    """A transform has dropped the sample."""


def is_random(step: object) -> bool:
    """Whether two calls of a transform on one sample can differ: what its ``random`` says, or else what is known."""
    return getattr(step, 'random', type(step) not in NOT_RANDOM)


class CachedPipeline:
    """What a data set inherits before mmengine's ``BaseDataset`` to get a ``cache_dir``.

    It calls :meth:`open_cache` once it is built. A sample is then made up to the first random transform once, and kept
    as :meth:`kept` says; see :class:`~bkdsnn.datasets.sample_cache.SampleCache`.

    Attributes:
        cache: ``None`` where there is none.
        cached_steps: Number of transforms whose result is kept.
    """

    kind = 'samples'
    cache: Optional[SampleCache] = None
    cached_steps = 0

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

    def read(self, data_info: dict) -> dict:
        """What the first transform gets."""
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
        text = ', '.join(map(repr, steps))
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
        for idx in range(0, len(self), max(1, len(self) // PROBED)):
            self.fill(idx)
        number, size = self.cache.size()
        missing = max(0, len(self) - number) * size / max(1, number)
        free = shutil.disk_usage(self.cache.folder).free if number else missing
        if missing > free:
            raise ValueError(
                f'{type(self).__name__}: a cache of {len(self):,} {self.kind} needs about {missing / 1e9:,.1f} GB more '
                f'in {self.cache.folder}, where {free / 1e9:,.1f} GB are free. Make them smaller by a transform that '
                'is not random, such as mmpretrain.ResizeEdge, before the first random one; choose another cache_dir; '
                'or set cache_dir=None.')

    def cached(self, data_info: dict, rebuild: bool = False) -> Arrays:
        """What the cache has of one sample; it is filled if need be."""

        def make() -> Arrays:
            results = self.read(dict(data_info))
            for step in self.pipeline.transforms[:self.cached_steps]:
                results = step(results)
                if results is None:
                    raise _Dropped
            return self.kept(data_info, results)

        return self.cache.get(self.name_of(data_info), self.file_of(data_info), make, rebuild)

    def fill(self, idx: int, rebuild: bool = False) -> None:
        """Put one sample into the cache unless it is there, or it is dropped."""
        with suppress(_Dropped):
            self.cached(self.get_data_info(idx), rebuild)

    def prepare_data(self, idx: int):
        """One sample through the pipeline; ``None`` if a transform drops it."""
        data_info = self.get_data_info(idx)
        try:
            results = self.read(data_info) if self.cache is None else self.restored(data_info, self.cached(data_info))
        except _Dropped:
            return None
        for step in self.pipeline.transforms[self.cached_steps:]:
            results = step(results)
            if results is None:
                return None
        return results

    def extra_repr(self) -> List[str]:
        return [*super().extra_repr(), f'Cache: \t{self.cache and self.cache.folder}']
