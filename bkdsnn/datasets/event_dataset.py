"""What all data sets of event recordings share: checks, order of time, and the cache of frames."""
import logging
import os.path as osp
from itertools import takewhile
from typing import List, Optional, Sequence

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from bkdsnn.registry import TRANSFORMS

from .events import check_events, sort_events
from .frame_cache import FrameCache
from .transforms.base import Frames


class EventDataset(BaseDataset):
    """Recordings of an event camera. What inherits lists them and reads one.

    Events are read when a sample is asked for. Unsorted ones are put in the order of time, those of equal time in that
    of the file; a recording without events becomes frames of zeros and is counted in the log. An event outside the
    sensor or a polarity other than 0 and 1 is an error that names the file and the event's index.

    Args:
        pipeline: Transforms. The first one gets ``events``, a structured array with the integer fields ``x``, ``y``,
            ``t`` (microseconds) and ``p``; ``sensor_size`` (width, height, polarities); and what the list says of the
            recording, such as ``gt_label`` and ``path``.
        cache_dir: Folder for frames, relative to ``data_root``. The result of the pipeline up to its first random
            transform is then made once per recording; see :class:`~bkdsnn.datasets.frame_cache.FrameCache`. ``None``
            makes it anew every time.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`. ``metainfo`` holds ``classes`` and ``sensor_size``.

    Raises:
        ValueError: If there is a ``cache_dir`` but the frames themselves are random, or a transform does not say what
            its arguments are.
    """

    def __init__(self, pipeline: Sequence = (), cache_dir: Optional[str] = None, **kwargs) -> None:
        # Built here, since the parent would look the names up in mmpretrain's registry.
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        self.empty_recordings, self.cache, self.cached_steps = 0, None, 0
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)
        if cache_dir is not None:
            self.cached_steps = self._count_cached_steps()
            framing = ', '.join(map(repr, self.pipeline.transforms[:self.cached_steps]))
            if ' at 0x' in framing:
                raise ValueError(f'{type(self).__name__}: {framing} does not name the arguments of all transforms, so '
                                 'that cached frames could be wrong. Make them dataclasses, or set cache_dir=None.')
            framing = f'sensor {tuple(self.metainfo["sensor_size"])}: {framing}'
            self.cache = FrameCache(osp.join(self.data_root or '', cache_dir), self.source(), framing)
            number, size = self.cache.size()
            print_log(f'{type(self).__name__}: frames are cached in {self.cache.folder}: {number} recordings, '
                      f'{size / 1e6:,.0f} MB so far.', logger='current')

    def _count_cached_steps(self) -> int:
        """Number of transforms before the first random one; they must make the frames."""
        steps = list(takewhile(lambda step: not getattr(step, 'random', True), self.pipeline.transforms))
        if not any(getattr(step, 'makes_frames', False) for step in steps):
            names = [type(step).__name__ for step in self.pipeline.transforms]
            raise ValueError(f'{type(self).__name__}: with a cache_dir, the pipeline must make frames before its first '
                             f'random transform, but it is {names}. Augment the frames instead of the events, or set '
                             'cache_dir=None.')
        return len(steps)

    def source(self) -> str:
        """Text that, with a recording's name and its file, determines the events."""
        raise NotImplementedError

    def name_of(self, data_info: dict) -> str:
        """Name of a recording, unique within the source."""
        return osp.relpath(data_info['path'], self.data_root or '').replace(osp.sep, '/')

    def file_of(self, data_info: dict) -> Optional[str]:
        """File that a recording is read from; ``None`` if there is none."""
        return data_info['path']

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one entry of the data list, as they are stored."""
        raise NotImplementedError

    def load_events(self, data_info: dict) -> np.ndarray:
        """The events of one entry of the data list, checked and in the order of time.

        Raises:
            OSError: If the file cannot be read; the message names it.
            ValueError: If an event is not possible; the message names file and event.
        """
        events = self.read_events(data_info)
        try:
            check_events(events, self.metainfo['sensor_size'])
        except ValueError as error:
            raise ValueError(f'{type(self).__name__}: {data_info["path"]}: {error}') from error
        if not len(events):
            self.empty_recordings += 1
            print_log(f'{type(self).__name__}: {data_info["path"]} has no events, so its frames are zero '
                      f'({self.empty_recordings} such recordings so far in this process).', logger='current',
                      level=logging.WARNING)
        return sort_events(events)

    def get_data_info(self, idx: int) -> dict:
        """What is known of one recording without reading it."""
        return dict(super().get_data_info(idx), sensor_size=tuple(self.metainfo['sensor_size']))

    def prepare_data(self, idx: int):
        """Events or frames of one recording, through the pipeline."""
        results = self.get_data_info(idx)
        if self.cache is None:
            results['events'] = self.load_events(results)
        else:
            results['frames'] = self.cached_frames(results)
        for step in self.pipeline.transforms[self.cached_steps:]:
            results = step(results)
            if results is None:
                return None
        return results

    def cached_frames(self, data_info: dict, rebuild: bool = False) -> Frames:
        """What the cache has of one recording; it is filled if need be."""

        def make() -> Frames:
            results = dict(data_info, events=self.load_events(data_info))
            for step in self.pipeline.transforms[:self.cached_steps]:
                results = step(results)
            return results['frames']

        return self.cache.get(self.name_of(data_info), self.file_of(data_info), make, rebuild)

    def extra_repr(self) -> List[str]:
        return [f'Sensor: \t{self.metainfo["sensor_size"]}', f'Frame cache: \t{self.cache and self.cache.folder}']
