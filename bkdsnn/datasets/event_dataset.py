"""What all data sets of event recordings share: checks, order of time, and the cache of frames."""
import logging
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from bkdsnn.registry import TRANSFORMS

from .cached_pipeline import JSON, CachedPipeline, changed, from_text, to_text
from .events import check_events, sort_events

# Name of the frames among the arrays of a recording that has one view.
FRAMES = '.frames'


class EventDataset(CachedPipeline, BaseDataset):
    """Recordings of an event camera. What inherits lists them and reads one.

    Events are read when a sample is asked for. Unsorted ones are put in the order of time, those of equal time in that
    of the file; a recording without events becomes frames of zeros and is counted in the log. An event outside the
    sensor or a polarity other than 0 and 1 is an error that names the file and the event's index.

    Args:
        pipeline: Transforms. The first one gets ``events``, a structured array with the integer fields ``x``, ``y``,
            ``t`` (microseconds) and ``p``; ``sensor_size`` (width, height, polarities); and what the list says of the
            recording, such as ``gt_label`` and ``path``.
        cache_dir: Folder for frames, relative to ``data_root``. The result of the pipeline up to its first random
            transform is then made once per recording; see :class:`~bkdsnn.datasets.sample_cache.SampleCache`. ``None``
            makes it anew every time.
        on_error: What to do with a recording that cannot be read or has an impossible event: ``'raise'``, or ``'skip'``
            it, take another one that is drawn at random, and count it in the log. For training alone.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`. ``metainfo`` holds ``classes`` and ``sensor_size``.

    Raises:
        ValueError: If there is a ``cache_dir`` but the frames themselves are random, or a transform does not say what
            its arguments are, or ``on_error`` is unknown.
    """

    kind = 'frames'

    def __init__(self, pipeline: Sequence = (), cache_dir: Optional[str] = None, on_error: str = 'raise', **kwargs
                 ) -> None:
        self.set_on_error(on_error)
        # Built here, since the parent would look the names up in mmpretrain's registry.
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        self.empty_recordings = 0
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)
        self.open_cache(cache_dir)

    def check_cached(self, steps: Sequence) -> None:
        """The transforms before the first random one must make the frames."""
        if not any(getattr(step, 'makes_frames', False) for step in steps):
            names = [type(step).__name__ for step in self.pipeline.transforms]
            raise ValueError(f'{type(self).__name__}: with a cache_dir, the pipeline must make frames before its first '
                             f'random transform, but it is {names}. Augment the frames instead of the events, or set '
                             'cache_dir=None.')

    def source(self) -> str:
        """Text that, with a recording's name and its file, determines the events."""
        raise NotImplementedError

    def setting(self) -> str:
        """The sensor's size."""
        return f'sensor {tuple(self.metainfo["sensor_size"])}'

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

    def read(self, data_info: dict) -> dict:
        """What is known of a recording, and its ``events``."""
        return dict(data_info, events=self.load_events(data_info))

    def kept(self, data_info: dict, results: dict) -> Dict[str, np.ndarray]:
        """The frames, of each view, and as JSON what else the transforms have changed, such as the sensor's size.

        Raises:
            TypeError: If something of it cannot be kept.
        """
        frames = results['frames']
        others = {key: value for key, value in changed(data_info, results).items() if key not in ('events', 'frames')}
        return {**(frames if isinstance(frames, dict) else {FRAMES: frames}), JSON: to_text(others)}

    def restored(self, data_info: dict, arrays: Dict[str, np.ndarray]) -> dict:
        """What is known of a recording after the cached transforms, and its ``frames``."""
        others = from_text(arrays.pop(JSON))
        return dict(data_info, **others, frames=arrays.get(FRAMES, arrays))

    def extra_repr(self) -> List[str]:
        return [f'Sensor: \t{self.metainfo["sensor_size"]}', f'Frame cache: \t{self.cache and self.cache.folder}']
