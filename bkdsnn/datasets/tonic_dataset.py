"""Recordings of event cameras, read by tonic."""
import inspect
import logging
import os.path as osp
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from bkdsnn.checkpoints.files import some_of
from bkdsnn.registry import DATASETS
from bkdsnn.utils.listing import is_hidden

from .archives import Archive, unpack_once
from .event_dataset import EventDataset
from .event_files import read_events
from .hdf5_files import check_hdf5
from .mat_files import check_mat
from .split_files import read_split

SPLITS = ('train', 'test')


@dataclass(frozen=True)
class Layout:
    """What a published data set is, beyond what tonic says of it.

    Attributes:
        tree: By split, recordings below ``data_root`` once it is unpacked.
        sizes: By split, how many recordings there are; an entry is left out where that is not known.
        split_file: Of the test part, where the set has none of its own.
        sensor_size: Where tonic has none.
    """

    tree: Dict[str, str]
    sizes: Dict[str, int] = field(default_factory=dict)
    split_file: Optional[str] = None
    sensor_size: Optional[Tuple[int, int, int]] = None


LAYOUTS = dict(
    CIFAR10DVS=Layout(
        dict.fromkeys(SPLITS, 'CIFAR10DVS/airplane/cifar10_airplane_0.aedat4\n'
                              'CIFAR10DVS/airplane/...\n'
                              'CIFAR10DVS/truck/cifar10_truck_999.aedat4'),
        dict(train=9000, test=1000), 'cifar10_dvs.txt'),
    DVSGesture=Layout(
        dict(train='DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy\n'
                   'DVSGesture/ibmGestureTrain/user01_fluorescent/...',
             test='DVSGesture/ibmGestureTest/user24_fluorescent/0.npy\n'
                  'DVSGesture/ibmGestureTest/user24_fluorescent/...'),
        dict(train=1077, test=264)),
    NMNIST=Layout(
        dict(train='NMNIST/Train/0/00002.bin\nNMNIST/Train/0/...', test='NMNIST/Test/0/00004.bin\nNMNIST/Test/0/...'),
        dict(train=60000, test=10000)),
    # The largest of its recordings fill the ATIS' 240x180 pixels (Orchard et al. 2015).
    NCALTECH101=Layout(
        dict.fromkeys(SPLITS, 'NCALTECH101/Caltech101/BACKGROUND_Google/image_0001.bin\n'
                              'NCALTECH101/Caltech101/...\n'
                              'NCALTECH101/Caltech101/yin_yang/image_0060.bin'),
        dict(train=7886, test=823), 'n_caltech101.txt', (240, 180, 2)),
    DVSLip=Layout(
        dict(train='DVSLip/DVS-Lip/train/accused/0.npy\nDVSLip/DVS-Lip/train/...',
             test='DVSLip/DVS-Lip/test/accused/0.npy\nDVSLip/DVS-Lip/test/...')))


@DATASETS.register_module()
class TonicDataset(EventDataset):
    """A data set of ``tonic.datasets``: files are listed when it is built, events are read when a sample is asked for.

    The order is that of the paths as text. Sets with a split of their own (DVSGesture, NMNIST, DVSLip, ...) use it.
    The test parts of the others are fixed in text files with checksums, in ``bkdsnn/datasets/splits``:

    - CIFAR10DVS: of each class, with the names sorted as text, the last 100 recordings. spikingjelly, which the paper
      uses, sorts and splits in the same way.
    - NCALTECH101: every tenth recording of each class, 823 of 8,709.

    Nothing is ever downloaded, but an archive that lies in ``data_root/name`` is checked and unpacked.

    Args:
        name: Class of ``tonic.datasets``, such as ``'CIFAR10DVS'``, ``'DVSGesture'``, ``'NMNIST'``, ``'NCALTECH101'``.
        data_root: Folder that holds the folder ``name``.
        split: ``'train'`` or ``'test'``.
        split_file: Text file with the recordings of the test part, one per line, relative to ``data_root/name``; all
            others are the train part. Only for sets without a split of their own.
        partial: Whether recordings of the published set may be missing.
        reader: Other arguments of tonic's class, such as ``dict(stabilize=True)`` of ``'NMNIST'``.
        **kwargs: As :class:`~bkdsnn.datasets.event_dataset.EventDataset`; ``metainfo`` may change ``sensor_size``.

    Raises:
        ValueError: If a name or split is unknown, recordings are missing though ``partial`` is not set, a split file
            names recordings that are not there, or an archive is damaged.
        FileNotFoundError: If there are no recordings; the message shows the folders expected and the archive to get.
    """

    def __init__(self,
                 name: str,
                 data_root: str,
                 split: str,
                 split_file: Optional[str] = None,
                 partial: bool = False,
                 reader: dict = {},
                 pipeline: Sequence = (),
                 **kwargs) -> None:
        from tonic import datasets  # heavy, and only needed where events are read
        if name not in datasets.__all__:
            raise ValueError(f'TonicDataset: name={name!r} is unknown; choose from {sorted(datasets.__all__)}.')
        if split not in SPLITS:
            raise ValueError(f'TonicDataset: split={split!r} is unknown; choose from {list(SPLITS)}.')
        self.name, self.split, self.partial, self.reader_options = name, split, partial, dict(reader)
        self.class_of_tonic, self.archive = getattr(datasets, name), None
        self.layout = LAYOUTS.get(name, Layout(tree={}))
        self.split_file = split_file or self.layout.split_file
        if split_file and self._split_arguments:
            raise ValueError(f'TonicDataset: {name} has a split of its own; drop split_file={split_file!r}.')
        if not self._split_arguments and not self.split_file:
            raise ValueError(f'TonicDataset: {name} has no split of its own. Give split_file, a text file with the '
                             'recordings of the test part.')
        metainfo = dict(sensor_size=self.layout.sensor_size or getattr(self.class_of_tonic, 'sensor_size', None))
        classes = getattr(self.class_of_tonic, 'classes', None)
        if classes is not None:
            metainfo.update(classes=sorted(classes, key=classes.get) if isinstance(classes, dict) else classes)
        metainfo.update(kwargs.pop('metainfo', None) or {})
        super().__init__(data_root=data_root, metainfo=metainfo, pipeline=pipeline, **kwargs)
        if self.cache is not None and not self.has_files:
            raise ValueError(f'TonicDataset: {name} keeps many recordings in one file, of which no frames are cached. '
                             'Set cache_dir=None.')

    @property
    def _split_arguments(self) -> dict:
        """What tells tonic's class the split; nothing if it has none."""
        parameters = inspect.signature(self.class_of_tonic).parameters
        if 'train' in parameters:
            return dict(train=self.split == 'train')
        return dict(split=self.split) if 'split' in parameters else {}

    @property
    def folder(self) -> str:
        """Where tonic looks for the recordings."""
        return osp.join(self.data_root, self.name)

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``path``, ``gt_label`` and ``reader_index``, its index in tonic's listing."""
        self.reader = self._open()
        if self._metainfo['sensor_size'] is None:  # of some sets it depends on an argument
            self._metainfo['sensor_size'] = tuple(self.reader.sensor_size)
        paths = getattr(self.reader, 'data', None)
        self.has_files = isinstance(paths, list) and bool(paths) and all(isinstance(path, str) for path in paths)
        if not self.has_files:
            paths = [f'{self.folder}[{i}]' for i in range(len(self.reader))]
        relative = [osp.relpath(path, self.reader.location_on_system).replace(osp.sep, '/') for path in paths]
        chosen = sorted(range(len(paths)), key=relative.__getitem__) if self.has_files else list(range(len(paths)))
        if self.has_files:
            chosen = self._shown(chosen, relative)
        labels = self._labels(chosen)
        if self.split_file:
            chosen = self._part(chosen, relative)
        is_published = self.split_file == self.layout.split_file
        expected = self.layout.sizes.get(self.split, len(chosen))
        if is_published and len(chosen) != expected:
            message = (f'TonicDataset: {self.folder} has {len(chosen)} recordings for split={self.split!r} where the '
                       f'published {self.name} has {expected}')
            if not self.partial:
                raise ValueError(f'{message}. Get the whole set, or set partial=True in the data set of each data '
                                 f'loader; results will then not be comparable. {self._expected_tree()}')
            print_log(f'{message}: results will not be comparable.', logger='current', level=logging.WARNING)
        if not chosen:
            raise FileNotFoundError(f'TonicDataset: none of the {len(paths)} recordings in {self.folder} is in the '
                                    f'{self.split} part. {self._expected_tree()}')
        return [dict(path=paths[i], gt_label=labels[i], reader_index=i) for i in chosen]

    def check_files(self) -> None:
        """Check that there is a folder of recordings or of an archive, and a split file, without listing either.

        Raises:
            FileNotFoundError, ValueError: As of the class.
        """
        if not osp.isdir(self.folder):
            self._open()  # which says what is missing
        if self.split_file:
            read_split(self.split_file)

    def _open(self):
        """tonic's reader of the files, after an archive beside them is unpacked."""
        reader = self._make_reader()  # also tells what the archive is
        if self.archive is not None and unpack_once(self.archive, self.folder, lambda: len(self._make_reader())):
            reader = self._make_reader()
        if not len(reader):
            raise FileNotFoundError(f'TonicDataset: no recordings of {self.name}, split={self.split!r}, in '
                                    f'{self.folder}. Put {self.archive or "the published files"} there and start '
                                    f'again: it is unpacked once. {self._expected_tree()}')
        return reader

    def _make_reader(self):
        """tonic's reader, kept from downloading anything; an empty list if its files are not there."""
        reader = self.class_of_tonic.__new__(self.class_of_tonic)

        def note_archive() -> bool:
            # tonic calls this while it is built, and would download wherever it says that files are missing.
            self.archive = archive_of(reader)
            return True

        other = SPLITS[self.split == 'train']
        for path in sorted(Path(self.folder).glob('*.h*5')):  # .h5 and .hdf5
            if f'_{other}' not in path.name:
                check_hdf5(str(path))
        reader._check_exists = note_archive
        try:
            reader.__init__(self.data_root, **self._split_arguments, **self.reader_options)
        except OSError:
            return []
        except (KeyError, ValueError) as error:
            raise ValueError(f'TonicDataset: {self.folder} holds a folder or file that is not part of {self.name} '
                             f'({error}). {self._expected_tree()}') from error
        del reader._check_exists  # so that the reader can be pickled for workers
        return reader

    def _shown(self, order: List[int], relative: List[str]) -> List[int]:
        """Those that are not hidden, as other data sets leave them out."""
        is_shown = {i: not any(map(is_hidden, relative[i].split('/'))) for i in order}
        hidden = [relative[i] for i in order if not is_shown[i]]
        if hidden:
            print_log(f'TonicDataset: {self.folder}: {len(hidden)} of {len(order)} files are skipped, since they are '
                      f'hidden: {some_of(hidden)}.', logger='current', level=logging.WARNING)
        return [i for i in order if is_shown[i]]

    def _part(self, order: List[int], relative: List[str]) -> List[int]:
        """Those of a split, by the split file."""
        test = read_split(self.split_file)
        there = {relative[i] for i in order}
        missing = [f'{recording} (line {line})' for line, recording in enumerate(test, 1) if recording not in there]
        if missing and not self.partial:
            raise ValueError(f'TonicDataset: the split file {self.split_file} names {len(missing)} of {len(test)} '
                             f'recordings that are not in {self.folder}: {some_of(missing)}. Get the whole set, or set '
                             f'partial=True in the data set of each data loader. {self._expected_tree()}')
        test = set(test)
        return [i for i in order if (relative[i] in test) == (self.split == 'test')]

    def _labels(self, order: List[int]) -> Dict[int, int]:
        """Labels by the index in tonic's listing."""
        targets = getattr(self.reader, 'targets', None)
        targets = [targets[i] if targets else self.reader[i][1] for i in order]
        if self._metainfo.get('classes') is None and getattr(self.reader, 'classes', None) is not None:
            self._metainfo['classes'] = tuple(np.asarray(self.reader.classes).astype(str))
        if all(isinstance(target, str) for target in targets):
            if self._metainfo.get('classes') is None:
                # By the split file, so that labels are the same where recordings are missing.
                recordings = read_split(self.split_file) if self.split_file else []
                names = {osp.basename(osp.dirname(path)) for path in recordings} | set(targets)
                self._metainfo['classes'] = tuple(sorted(names))
            label_of = {name: label for label, name in enumerate(self._metainfo['classes'])}
            targets = [label_of[target] for target in targets]
        if not all(isinstance(target, (int, np.integer)) for target in targets):
            raise ValueError(f'TonicDataset: {self.name} is no set for classification: its targets are not classes.')
        return dict(zip(order, map(int, targets)))

    def _expected_tree(self) -> str:
        tree = self.layout.tree.get(self.split, f'{self.name}/...').splitlines()
        return '\n'.join(['Expected:', *(f'  {osp.join(self.data_root, line)}' for line in tree)])

    def source(self) -> str:
        """Name of the set and what its reader does to events."""
        return f'{self.name}({self.reader_options or ""})'

    def read_events(self, data_info: dict) -> np.ndarray:
        """The events of one recording, as tonic reads them.

        Raises:
            OSError: If the file cannot be read; the message names it.
        """
        path = data_info['path']
        if path.endswith(('.aedat4', '.bin')):
            # Finds what tonic's readers would not say: damage, no events at all, and where the clock begins anew.
            whole = read_events(path)
            if not len(whole) or path.endswith('.aedat4'):
                return whole
        try:
            if path.endswith('.npy'):
                check_rows(path, self.class_of_tonic.dtype)
            elif path.endswith('.mat'):
                check_mat(path)
            events = self.reader[data_info['reader_index']][0].ravel()  # ASLDVS gives a column
        except Exception as error:  # the readers of tonic raise what they like
            raise OSError(f'TonicDataset: {path} cannot be read: {error}') from error
        # Options of the reader may leave out some, or change them.
        if path.endswith('.bin') and len(events) == len(whole) and 'transform' not in self.reader_options:
            events['t'] = whole['t']
        return events if 'y' in (events.dtype.names or ()) else on_a_plane(events)

    def extra_repr(self) -> List[str]:
        return [f'Name: \t{self.name}', f'Split: \t{self.split}', f'Root of data: \t{self.data_root}',
                *super().extra_repr()]


def archive_of(reader) -> Optional[Archive]:
    """The published archive that a data set of tonic comes in, if it is one file."""
    if all(isinstance(getattr(reader, name, None), str) for name in ('filename', 'url', 'file_md5')):
        return Archive(reader.filename, reader.url, reader.file_md5)
    return None


def check_rows(path: str, dtype: np.dtype) -> None:
    """Check that tonic turns the rows of an array into structured events without a change, such as a polarity 2 into 1.

    Raises:
        ValueError: If not; the message names the field and the row.
    """
    rows = np.load(path, mmap_mode='r')
    if rows.dtype.names or rows.ndim != 2 or rows.shape[1] != len(dtype.names):
        return  # structured, or what tonic's reader refuses
    for column, name in zip(rows.T, dtype.names):
        changed = np.flatnonzero(column.astype(dtype[name]) != column)
        if len(changed):
            raise ValueError(f'event {changed[0]} has {name}={column[changed[0]]}, which is not possible')


def on_a_plane(events: np.ndarray) -> np.ndarray:
    """Events of a sensor that is a line, such as a cochlea, with ``y`` and a single polarity, both 0."""
    plane = np.zeros(len(events), [('x', np.int64), ('y', np.int64), ('t', np.int64), ('p', np.int64)])
    plane['x'], plane['t'] = events['x'], events['t']
    return plane
