"""scikit-learn's handwritten digits: real scans that come with the installation."""
import json
from pathlib import Path
from typing import List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset

from bkdsnn.registry import DATASETS

from .few_labels import first_of_each_class

SPLITS = Path(__file__).parent / 'splits' / 'digits.json'


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 scans of handwritten digits, 8x8 pixels, 10 classes (UCI optical recognition of handwritten digits).

    Pixels are uint8, scaled from the original 0..16 to 0..255. The split is fixed and stratified; its indices into
    ``sklearn.datasets.load_digits()`` stand in ``bkdsnn/datasets/splits/digits.json``.

    Args:
        split: ``'train'`` (500 images), ``'val'`` (400) or ``'test'`` (897).
        labels_per_class: Keep only the first so many images of each class, 50 at most in ``'train'``; ``None`` keeps
            all.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`; ``pipeline`` gets ``img`` (8, 8, 1) and ``gt_label``.

    Raises:
        ValueError: If the split is unknown or has fewer images per class.
    """

    METAINFO = dict(classes=tuple(str(digit) for digit in range(10)))

    def __init__(self, split: str, labels_per_class: Optional[int] = None, **kwargs) -> None:
        self.split, self.labels_per_class = split, labels_per_class
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """One dict per image: ``img``, ``gt_label`` and ``digit_id``, its index in scikit-learn's set."""
        from sklearn.datasets import load_digits  # heavy, and only needed here
        splits = json.loads(SPLITS.read_text())
        if self.split not in splits:
            raise ValueError(f'Digits: split={self.split!r} is unknown; choose from {sorted(splits)}.')
        images, labels = load_digits(return_X_y=True)
        images = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        chosen = first_of_each_class('Digits', self.split, splits[self.split], labels, 10, self.labels_per_class)
        return [dict(img=images[i], gt_label=int(labels[i]), digit_id=i) for i in chosen]

    def extra_repr(self) -> List[str]:
        return [f'Split: \t{self.split}', f'Labels per class: \t{self.labels_per_class or "all"}']
