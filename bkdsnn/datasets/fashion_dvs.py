"""Fashion-MNIST and MNIST in front of a simulated event camera."""
import zlib
from typing import List

import numpy as np

from bkdsnn.registry import DATASETS

from .fashion_mnist import MNIST, FashionMNIST
from .recorded_images import RecordedImages


@DATASETS.register_module()
class MNISTDVS(RecordedImages):
    """The digits of :class:`~bkdsnn.datasets.MNIST` as :class:`RecordedImages`, in the size of N-MNIST.

    34x34 pixels and 300 ms a recording, made when it is asked for; a ``cache_dir`` keeps its frames.

    Args:
        data_root: Folder of MNIST's files, and of a relative ``cache_dir``.
        split: ``'train'`` (55,000 recordings, of MNIST 55,006), ``'val'`` (5,000 or 4,994) or ``'test'`` (10,000).
        download: Whether to get files that are not there.
        **kwargs: As :class:`RecordedImages`.

    Raises:
        FileNotFoundError, OSError, ValueError: As of :class:`~bkdsnn.datasets.MNIST` and :class:`RecordedImages`.
    """

    images_type = MNIST
    sensor = (34, 34)  # that of N-MNIST, which its 28x28 pictures fill when they move
    motion_defaults = dict(zoom=1)

    def __init__(self, data_root: str, split: str, download: bool = True, **kwargs) -> None:
        self.download = download
        super().__init__(split=split, data_root=data_root, **kwargs)

    def check_files(self) -> None:
        """As :meth:`bkdsnn.datasets.MNIST.check_files`."""
        self.images(data_root=self.data_root, download=self.download, lazy_init=True).check_files()

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``image`` (H, W, 1), ``gt_label``, ``image_id`` and a name as ``path``."""
        images = self.images(data_root=self.data_root, download=self.download)
        part = 'test' if self.split == 'test' else 'train'
        # The check sum makes frames of another image another entry of the cache.
        return [dict(image=info['img'], gt_label=info['gt_label'], image_id=info['image_id'],
                     path=f'{part}-{info["image_id"]:05d}-{zlib.crc32(info["img"]):08x}')
                for info in map(images.get_data_info, range(len(images)))]

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one recording, made anew."""
        seed = [self.seed, data_info['image_id'], self.split == 'test']
        return self.record(data_info['image'][None], [seed])[0]


@DATASETS.register_module()
class FashionMNISTDVS(MNISTDVS):
    """The pictures of :class:`~bkdsnn.datasets.FashionMNIST` in front of the camera; arguments as :class:`MNISTDVS`."""

    images_type = FashionMNIST
