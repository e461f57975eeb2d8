"""Your own recordings of event cameras, one folder per class."""
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np

from bkdsnn.checkpoints.files import some_of
from bkdsnn.registry import DATASETS
from bkdsnn.utils.listing import class_folders, list_classes

from .event_dataset import EventDataset
from .event_files import EXTENSIONS, read_events


@DATASETS.register_module()
class EventFolder(EventDataset):
    """Recordings below ``data_root/split``, one folder per class: AEDAT4, ``.npy`` or ``.bin``.

    ``tools/dataset_converters/images_to_events.py`` makes such folders from images.

    Args:
        data_root: Folder that holds the splits.
        split: Folder of this part, such as ``'train'``.
        sensor_size: Width and height, and if it is not 2, the number of polarities.
        classes: Names of the class folders, in the order of their labels; all splits must have the same. Defaults to
            the folders there are, sorted.
        **kwargs: As :class:`~bkdsnn.datasets.event_dataset.EventDataset`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no class folders, other ones than ``classes``, or no recordings.
    """

    def __init__(self,
                 data_root: str,
                 split: str,
                 sensor_size: Sequence[int],
                 classes: Optional[Sequence[str]] = None,
                 pipeline: Sequence = (),
                 **kwargs) -> None:
        if len(sensor_size) not in (2, 3):
            raise ValueError(f'EventFolder: sensor_size={tuple(sensor_size)} must be (width, height).')
        self.split = split
        sensor_size = (*sensor_size, 2)[:3]
        super().__init__(data_root=data_root, metainfo=dict(classes=classes, sensor_size=sensor_size),
                         pipeline=pipeline, **kwargs)

    @property
    def expected(self) -> str:
        """What the tree should be, for errors."""
        return f'Expected are {self.data_root}/{self.split}/<class>/<name>{{{",".join(sorted(EXTENSIONS))}}}.'

    def check_files(self) -> None:
        """Check that the class folders are there, without looking for recordings.

        Raises:
            FileNotFoundError, ValueError: As of the class.
        """
        root, expected = Path(self.data_root, self.split), self.expected
        if not root.is_dir():
            raise FileNotFoundError(f'EventFolder: there is no folder {root}. {expected}')
        folders = class_folders(root)
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(folders)
        if not folders or set(folders) != set(self.CLASSES):
            differ = sorted(set(folders) ^ set(self.CLASSES))
            raise ValueError(f'EventFolder: {root} has {len(folders)} class folders where there are '
                             f'{len(self.CLASSES)} classes; {some_of(differ) or "none"} differ. {expected}')

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``path`` and ``gt_label``, in the order of the paths as text."""
        self.check_files()
        root = Path(self.data_root, self.split)
        label_of = {name: label for label, name in enumerate(self.CLASSES)}
        recordings = [dict(path=str(root / path), gt_label=label_of[name]) for name, path in
                      list_classes('EventFolder', root, self.CLASSES, EXTENSIONS)]
        if not recordings:
            raise ValueError(f'EventFolder: there are no recordings in {root}. {self.expected}')
        return sorted(recordings, key=lambda info: info['path'])

    def source(self) -> str:
        """The recordings are what their files are."""
        return 'EventFolder'

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one recording."""
        return read_events(data_info['path'])
