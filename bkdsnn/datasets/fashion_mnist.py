"""Fashion-MNIST and MNIST, read from their published files, gzipped or unpacked."""
import warnings
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset, mnist

from bkdsnn.registry import DATASETS

from .archives import Archive, download_once
from .few_labels import first_of_each_class

SPLITS = ('train', 'val', 'test')
# Of the training part's images of a class, every twelfth is one of the validation part: 500 of 6,000.
EVERY = 12


@DATASETS.register_module()
class MNIST(mnist.MNIST):
    """MNIST: scans of handwritten digits, 28x28 pixels, 10 classes (LeCun et al. 1998).

    Other than mmpretrain's it has a validation split, takes the files as they are published, and looks for them beside
    ``data_root``, too. The splits are fixed: of the training part's images of each class, in the order of the file,
    every twelfth is one of ``'val'``; the test part is touched by ``'test'`` alone.

    Args:
        data_root: Folder with the four IDX files, such as ``train-images-idx3-ubyte.gz``, gzipped or unpacked.
        split: ``'train'`` (55,000 images, of MNIST 55,006), ``'val'`` (5,000 or 4,994) or ``'test'`` (10,000).
        labels_per_class: Keep only the first so many images of each class; ``None`` keeps all.
        download: Whether to get files that are not there into ``data_root``.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`; ``pipeline`` gets ``img`` (28, 28, 1) and ``gt_label``.

    Raises:
        FileNotFoundError: If the files are not there and not to be downloaded; the message says where to get them.
        OSError: If they cannot be downloaded.
        ValueError: If the split is unknown or has fewer images per class, or a file is damaged.
    """

    # Where a system's package installs the files, and its name.
    system_folder: Optional[str] = None
    package: Optional[str] = None

    def __init__(self, data_root: str, split: str, labels_per_class: Optional[int] = None, download: bool = True,
                 **kwargs) -> None:
        if split not in SPLITS:
            raise ValueError(f'{type(self).__name__}: split={split!r} is unknown; choose from {list(SPLITS)}.')
        self.split, self.labels_per_class, self.download = split, labels_per_class, download
        # Past the constructor of mmpretrain's class, which knows two splits.
        BaseDataset.__init__(self, ann_file='', data_root=data_root, **kwargs)

    @property
    def archives(self) -> List[Archive]:
        """Images and labels of the part, as they are published."""
        part = self.test_list if self.split == 'test' else self.train_list
        return [Archive(name, self.url_prefix + name, md5) for name, md5 in part]

    def find_files(self) -> Optional[Tuple[Path, ...]]:
        """Images and labels of the part, from the first folder that has both; ``None`` if there is none."""
        for folder in self.folders:
            found = [next((path for path in (folder / name, folder / Path(name).stem) if path.is_file()), None)
                     for name in (archive.name for archive in self.archives)]
            if None not in found:
                return tuple(found)
        return None

    @property
    def folders(self) -> List[Path]:
        """Where files are looked for."""
        return [Path(folder).expanduser() for folder in (self.data_root, self.system_folder) if folder is not None]

    @property
    def way_out(self) -> str:
        """What to do where files are missing, for errors."""
        package = f'Install them with apt-get install {self.package}, or put' if self.package else 'Put'
        names = ' and '.join(archive.name for archive in self.archives)
        return f'{package} {names} into {self.folders[0]}/, as they are or unpacked; they are at {self.url_prefix}.'

    def check_files(self) -> None:
        """Check that the files are there, or may be downloaded.

        Raises:
            FileNotFoundError: If they are not.
        """
        if not self.download and self.find_files() is None:
            raise FileNotFoundError(f'{type(self).__name__}: the files of split={self.split!r} are not in '
                                    f'{" or ".join(map(str, self.folders))}, and download=False. {self.way_out}')

    def load_data_list(self) -> List[dict]:
        """One dict per image: ``img``, ``gt_label`` and ``image_id``, its index in the file."""
        self.check_files()
        found = self.find_files()
        if found is None:
            try:
                found = tuple(download_once(archive, self.folders[0]) for archive in self.archives)
            except OSError as error:
                raise OSError(f'{type(self).__name__}: {error} {self.way_out}') from error
        images, labels = self._read(found[0], 3)[..., None], self._read(found[1], 1)
        number = len(self.METAINFO['classes'])
        if len(images) != len(labels) or len(labels) and labels.max() >= number:
            raise ValueError(f'{type(self).__name__}: {found[0]} has {len(images)} images, and {found[1]} '
                             f'{len(labels)} labels up to {labels.max(initial=0)}, where there are {number} classes. '
                             f'They do not belong together. {self.way_out}')
        chosen = first_of_each_class(type(self).__name__, self.split, self._ids(labels), labels, number,
                                     self.labels_per_class)
        return [dict(img=images[i], gt_label=int(labels[i]), image_id=i) for i in chosen]

    def _ids(self, labels: np.ndarray) -> np.ndarray:
        """Images of the split."""
        if self.split == 'test':
            return np.arange(len(labels))
        place = np.zeros(len(labels), int)  # within the class, from 1
        for label in np.unique(labels):
            place[labels == label] = np.arange(1, np.sum(labels == label) + 1)
        return np.flatnonzero((place % EVERY == 0) == (self.split == 'val'))

    def _read(self, path: Path, dimensions: int) -> np.ndarray:
        """The uint8 array in an IDX file."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of an array that is not written to
                array = mnist.read_sn3_pascalvincent_tensor(str(path)).numpy()
            if array.dtype != np.uint8 or array.ndim != dimensions:
                raise ValueError(f'it holds {array.dtype} of shape {array.shape}')
        except Exception as error:  # each kind of damage has its own
            reason = ' '.join(str(error).split()).rstrip('.') or 'its size is not the one that it says'
            raise ValueError(f'{type(self).__name__}: {path} is damaged or no file of this data set: {reason}. Remove '
                             f'it. {self.way_out}') from error
        return array

    def extra_repr(self) -> List[str]:
        return [f'Folders: \t{", ".join(map(str, self.folders))}', f'Split: \t{self.split}',
                f'Labels per class: \t{self.labels_per_class or "all"}']


@DATASETS.register_module()
class FashionMNIST(MNIST):
    """Fashion-MNIST: 28x28 pictures of clothes in ten classes (Xiao et al. 2017, arXiv 1708.07747); see :class:`MNIST`.

    Debian's package ``dataset-fashion-mnist`` has the files, and where it installs them they are found without a word.

    Args:
        data_root: As :class:`MNIST`, and so all others.
        split: Likewise.
        **kwargs: Likewise.
    """

    url_prefix = mnist.FashionMNIST.url_prefix
    train_list, test_list = mnist.FashionMNIST.train_list, mnist.FashionMNIST.test_list
    METAINFO = mnist.FashionMNIST.METAINFO
    system_folder, package = '/usr/share/datasets/fashion-mnist', 'dataset-fashion-mnist'
