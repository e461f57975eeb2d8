"""Images of other data sets in front of a simulated event camera."""
from typing import Dict, List, Optional, Sequence, Tuple, Type

import numpy as np
from mmpretrain.datasets import BaseDataset

from .event_camera import EventCamera, record_saccades
from .event_dataset import EventDataset


class RecordedImages(EventDataset):
    """Images, moved along three saccades before a simulated event camera. What inherits says which images.

    A recording follows from ``seed``, the camera and the image alone.

    Args:
        split: Of the images' data set.
        labels_per_class: Keep only the first so many recordings of each class; ``None`` keeps all.
        camera: Other arguments of :class:`~bkdsnn.datasets.event_camera.EventCamera`, such as ``dict(noise_rate=5.0)``.
        motion: Other arguments of :func:`~bkdsnn.datasets.event_camera.saccades`.
        seed: Of the background events; that of the sensor is ``camera=dict(seed=...)``.
        **kwargs: As :class:`~bkdsnn.datasets.event_dataset.EventDataset`.

    Raises:
        ValueError: If the split is unknown or has fewer recordings per class, or an argument is out of range.
    """

    images_type: Type[BaseDataset]
    # Width and height of the sensor.
    sensor: Tuple[int, int]
    motion_defaults: Dict[str, float] = {}

    def __init__(self,
                 split: str,
                 labels_per_class: Optional[int] = None,
                 camera: dict = {},
                 motion: dict = {},
                 seed: int = 0,
                 pipeline: Sequence = (),
                 **kwargs) -> None:
        self.split, self.labels_per_class = split, labels_per_class
        width, height = self.sensor
        self.camera = EventCamera(**{**dict(width=width, height=height), **camera})
        self.motion, self.seed = {**self.motion_defaults, **motion}, seed
        metainfo = dict(classes=self.images_type.METAINFO['classes'], sensor_size=self.camera.sensor_size)
        super().__init__(metainfo=metainfo, pipeline=pipeline, **kwargs)

    def images(self, **kwargs) -> BaseDataset:
        """The data set of the images; further arguments are its own."""
        return self.images_type(split=self.split, labels_per_class=self.labels_per_class, serialize_data=False,
                                **kwargs)

    def record(self, images: np.ndarray, seeds: Sequence[Sequence[int]]) -> List[np.ndarray]:
        """The events of uint8 images (N, H, W, 1), with the seeds of their background events."""
        return record_saccades(images[..., 0] / 255, self.camera, [np.random.default_rng(seed) for seed in seeds],
                               **self.motion)

    def source(self) -> str:
        """All that the events follow from, apart from the image."""
        return f'{type(self).__name__}({self.camera}, {self.motion}, seed={self.seed})'

    def name_of(self, data_info: dict) -> str:
        """Name of a recording."""
        return data_info['path']

    def file_of(self, data_info: dict) -> None:
        """There is none."""
        return None

    def extra_repr(self) -> List[str]:
        return [f'Split: \t{self.split}', f'Labels per class: \t{self.labels_per_class or "all"}',
                *super().extra_repr()]
