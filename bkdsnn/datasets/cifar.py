"""CIFAR-10 and CIFAR-100, read from the files that their authors publish; nothing is downloaded."""
import pickle
from pathlib import Path
from typing import List

import numpy as np
from mmpretrain.datasets import cifar

from bkdsnn.checkpoints.plain_data import NUMPY, plain
from bkdsnn.registry import DATASETS


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, text and numbers; a file that names anything else is refused before it can run."""

    def find_class(self, module: str, name: str):
        if (module, name) == ('_codecs', 'encode'):
            return super().find_class(module, name)
        if f'{module}.{name}' not in NUMPY:
            raise pickle.UnpicklingError(f'it names {module}.{name}')
        function = NUMPY[f'{module}.{name}']
        # A new one, since pickles may set attributes of what they are given.
        return lambda *arguments: function(*arguments)


class _PublishedFiles:
    """Loading that mmpretrain's data sets share here: no download, no checksums, BGR images."""

    channel_order = 'bgr'

    def __init__(self, data_root: str, split: str, **kwargs) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"{type(self).__name__}: split={split!r} is unknown; choose 'train' or 'test'.")
        super().__init__(data_root=data_root, split=split, **kwargs)

    @property
    def names(self) -> List[str]:
        """Files of the split."""
        return [name for name, _ in (self.train_list if self.split == 'train' else self.test_list)]

    def check_files(self) -> None:
        """Check that all files are there.

        Raises:
            FileNotFoundError: As of the class.
        """
        root, names = Path(self.data_prefix['root']), self.names
        missing = [name for name in names if not (root / self.base_folder / name).is_file()]
        if missing:
            files = [name for name, _ in self.train_list + self.test_list]
            raise FileNotFoundError(
                f'{type(self).__name__}: {root / self.base_folder} has no {", ".join(missing)}. Expected are the files '
                f'{", ".join(files)} in {root / self.base_folder}/. Unpack {self.url} in {root}, or link '
                f'{root} to where they are.')

    def load_data_list(self) -> List[dict]:
        """One dict per image: ``img`` (32, 32, 3) in BGR, uint8, and ``gt_label``."""
        self.check_files()
        batches = [self._read(Path(self.data_prefix['root'], self.base_folder, name)) for name in self.names]
        # Pipelines take BGR, as mmcv reads files; in RGB, augmentations would weigh the colours wrongly.
        images = np.concatenate([images for images, _ in batches])[:, ::-1].transpose(0, 2, 3, 1).copy()
        labels = [label for _, labels in batches for label in labels]
        return [dict(img=image, gt_label=int(label)) for image, label in zip(images, labels)]

    def _read(self, path: Path):
        """RGB images (N, 3, 32, 32) and labels of one file."""
        try:
            with path.open('rb') as file:
                batch = plain(_ArrayUnpickler(file, encoding='latin1').load())
            images, labels = batch['data'].reshape(-1, 3, 32, 32), batch.get('fine_labels') or batch['labels']
            if images.dtype != np.uint8 or len(labels) != len(images) or not set(labels) <= set(range(self.number)):
                raise ValueError(f'{len(images)} images of {images.dtype} have {len(labels)} labels, which are not all '
                                 f'from 0 to {self.number - 1}')
            return images, labels
        except Exception as error:  # pickle raises a different type for each kind of damage
            reason = ' '.join(str(error).split()).rstrip('.')
            raise ValueError(f'{type(self).__name__}: {path} is damaged or no file of this data set: {reason}. Unpack '
                             f'{self.filename} again.') from error

    @property
    def number(self) -> int:
        """Number of classes."""
        return len(self.METAINFO['classes'])


@DATASETS.register_module()
class CIFAR10(_PublishedFiles, cifar.CIFAR10):
    """CIFAR-10: 50,000 images to train and 10,000 to test, 32x32 pixels, 10 classes.

    Other than :class:`mmpretrain.datasets.CIFAR10` it never downloads, takes any files of the published format, and
    gives BGR images, as all other data sets do: normalise with ``to_rgb=True``.

    Args:
        data_root: Folder that holds ``cifar-10-batches-py``.
        split: ``'train'`` or ``'test'``.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`.

    Raises:
        FileNotFoundError: If files are missing; the message says which, and where to get them.
        ValueError: If the split is unknown or a file is damaged.
    """


@DATASETS.register_module()
class CIFAR100(_PublishedFiles, cifar.CIFAR100):
    """CIFAR-100 with its 100 fine classes; see :class:`CIFAR10`.

    Args:
        data_root: Folder that holds ``cifar-100-python``.
        split: ``'train'`` or ``'test'``.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`.
    """
