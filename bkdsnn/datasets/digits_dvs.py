"""scikit-learn's handwritten digits in front of a simulated event camera."""
from typing import List, Optional, Sequence

import numpy as np

from bkdsnn.registry import DATASETS

from .digits import Digits
from .event_camera import EventCamera, record_saccades
from .event_dataset import EventDataset


@DATASETS.register_module()
class DigitsDVS(EventDataset):
    """The scans of :class:`~bkdsnn.datasets.Digits`, moved along three saccades before a simulated event camera.

    20x20 pixels, 300 ms and about 2,600 events a recording, as N-MNIST in small. Nothing is stored: a recording follows
    from ``seed`` and the digit alone, and all 1,797 are made in one to two seconds.

    Args:
        split: ``'train'`` (500 recordings), ``'val'`` (400) or ``'test'`` (897).
        labels_per_class: Keep only the first so many recordings of each class; ``None`` keeps all.
        camera: Other arguments of :class:`~bkdsnn.datasets.event_camera.EventCamera`, such as ``dict(noise_rate=5.0)``.
        motion: Other arguments of :func:`~bkdsnn.datasets.event_camera.saccades`.
        seed: Of the background events; that of the sensor is ``camera=dict(seed=...)``.
        **kwargs: As :class:`~bkdsnn.datasets.event_dataset.EventDataset`.

    Raises:
        ValueError: If the split is unknown or has fewer recordings per class, or an argument is out of range.
    """

    def __init__(self,
                 split: str,
                 labels_per_class: Optional[int] = None,
                 camera: dict = {},
                 motion: dict = {},
                 seed: int = 0,
                 pipeline: Sequence = (),
                 **kwargs) -> None:
        self.split, self.labels_per_class = split, labels_per_class
        self.camera = EventCamera(**{**dict(width=20, height=20), **camera})
        self.motion, self.seed = dict(motion), seed
        metainfo = dict(classes=Digits.METAINFO['classes'], sensor_size=self.camera.sensor_size)
        super().__init__(metainfo=metainfo, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``recording``, its events; ``gt_label``, ``digit_id`` and a name as ``path``."""
        digits = Digits(self.split, self.labels_per_class, serialize_data=False)
        digits = [digits.get_data_info(i) for i in range(len(digits))]
        images = np.stack([digit['img'][..., 0] for digit in digits]) / 255
        rngs = [np.random.default_rng([self.seed, digit['digit_id']]) for digit in digits]
        recordings = record_saccades(images, self.camera, rngs, **self.motion)
        return [dict(recording=events, gt_label=digit['gt_label'], digit_id=digit['digit_id'],
                     path=f'digit {digit["digit_id"]}') for events, digit in zip(recordings, digits)]

    def source(self) -> str:
        """All that the events follow from, apart from the digit."""
        return f'DigitsDVS({self.camera}, {self.motion}, seed={self.seed})'

    def name_of(self, data_info: dict) -> str:
        """Name of a recording."""
        return data_info['path']

    def file_of(self, data_info: dict) -> None:
        """There is none."""
        return None

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one recording."""
        return data_info['recording']

    def extra_repr(self) -> List[str]:
        return [f'Split: \t{self.split}', f'Labels per class: \t{self.labels_per_class or "all"}',
                *super().extra_repr()]
