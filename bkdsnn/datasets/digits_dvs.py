"""scikit-learn's handwritten digits in front of a simulated event camera."""
from typing import Dict, List

import numpy as np

from bkdsnn.registry import DATASETS

from .digits import Digits
from .recorded_images import RecordedImages


@DATASETS.register_module()
class DigitsDVS(RecordedImages):
    """The scans of :class:`~bkdsnn.datasets.Digits` as :class:`RecordedImages`, N-MNIST in small.

    20x20 pixels, 300 ms and about 2,600 events a recording. All 1,797 are made in one to two seconds when the data set
    is built, and nothing is stored; a process that trains one run after another makes them once.

    Args:
        split: ``'train'`` (500 recordings), ``'val'`` (400) or ``'test'`` (897).
        **kwargs: As :class:`RecordedImages`.
    """

    images_type, sensor = Digits, (20, 20)
    # Recordings by all that they follow from.
    made: Dict[tuple, List[np.ndarray]] = {}

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``recording``, its events; ``gt_label``, ``digit_id`` and a name as ``path``."""
        digits = self.images()
        digits = [digits.get_data_info(i) for i in range(len(digits))]
        key = type(self), self.source(), self.split, self.labels_per_class
        if key not in self.made:
            self.made[key] = self.record(np.stack([digit['img'] for digit in digits]),
                                         [[self.seed, digit['digit_id']] for digit in digits])
        return [dict(recording=events, gt_label=digit['gt_label'], digit_id=digit['digit_id'],
                     path=f'digit {digit["digit_id"]}') for events, digit in zip(self.made[key], digits)]

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one recording."""
        return data_info['recording']
