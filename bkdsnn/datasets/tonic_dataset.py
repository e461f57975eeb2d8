"""Recordings of event cameras, read by tonic."""
import inspect
import logging
import os.path as osp
from dataclasses import dataclass, field
from typing import Dict, List, Sequence

import numpy as np
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from bkdsnn.registry import DATASETS, TRANSFORMS

SPLITS = ('train', 'test')


@dataclass(frozen=True)
class Layout:
    """What a data set looks like on disk.

    Attributes:
        archives: By split, the published archive and where it is found.
        tree: By split, the folders below ``data_root`` once it is unpacked.
        sizes: By split, how many recordings the published set has; an entry is left out where that is not known.
    """

    archives: Dict[str, str]
    tree: Dict[str, str]
    sizes: Dict[str, int] = field(default_factory=dict)


def _both(text: str) -> Dict[str, str]:
    return dict.fromkeys(SPLITS, text)


LAYOUTS = dict(
    CIFAR10DVS=Layout(
        _both('CIFAR10DVS.zip (https://figshare.com/ndownloader/files/38023437) with one zip per class inside, all '
              'unpacked'),
        _both('CIFAR10DVS/airplane/cifar10_airplane_0.aedat4\n'
              'CIFAR10DVS/airplane/...\n'
              'CIFAR10DVS/truck/cifar10_truck_999.aedat4'),
        dict(train=9000, test=1000)),
    DVSGesture=Layout(
        dict(train='ibmGestureTrain.tar.gz (https://figshare.com/ndownloader/files/38022171)',
             test='ibmGestureTest.tar.gz (https://figshare.com/ndownloader/files/38020584)'),
        dict(train='DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy\n'
                   'DVSGesture/ibmGestureTrain/user01_fluorescent/...',
             test='DVSGesture/ibmGestureTest/user24_fluorescent/0.npy\n'
                  'DVSGesture/ibmGestureTest/user24_fluorescent/...'),
        dict(train=1077, test=264)),
    NMNIST=Layout(
        dict(train='Train.zip (https://www.garrickorchard.com/datasets/n-mnist)',
             test='Test.zip (https://www.garrickorchard.com/datasets/n-mnist)'),
        dict(train='NMNIST/Train/0/00002.bin\nNMNIST/Train/0/...', test='NMNIST/Test/0/00004.bin\nNMNIST/Test/0/...'),
        dict(train=60000, test=10000)),
    DVSLip=Layout(
        _both('DVS-Lip.zip (https://sites.google.com/view/event-based-lipreading)'),
        dict(train='DVSLip/DVS-Lip/train/accused/0.npy\nDVSLip/DVS-Lip/train/...',
             test='DVSLip/DVS-Lip/test/accused/0.npy\nDVSLip/DVS-Lip/test/...')))


@DATASETS.register_module()
class TonicDataset(BaseDataset):
    """A data set of ``tonic.datasets``: files are listed when it is built, events are read when a sample is asked for.

    The order is that of the paths as text. Sets with a split of their own (DVSGesture, NMNIST, DVSLip) use it.
    CIFAR10DVS has none: of each class, in that order, the last tenth (rounded down) is the test part and the rest the
    train part, 100 and 900 recordings. spikingjelly, which the paper uses, sorts and splits in the same way. Nothing is
    ever downloaded.

    Args:
        name: ``'CIFAR10DVS'``, ``'DVSGesture'``, ``'NMNIST'`` or ``'DVSLip'``.
        data_root: Folder that holds the folder ``name``.
        split: ``'train'`` or ``'test'``.
        pipeline: Transforms. The first one gets ``events``, a structured array with the integer fields ``x``, ``y``,
            ``t`` (microseconds) and ``p``, ``sensor_size`` (width, height, polarities), ``gt_label`` and ``path``.
        **kwargs: As :class:`mmpretrain.datasets.BaseDataset`. ``metainfo`` holds ``classes`` and ``sensor_size``.

    Raises:
        ValueError: If the name or split is unknown.
        FileNotFoundError: If there are no recordings; the message shows the folders expected and the archive to get.
    """

    def __init__(self, name: str, data_root: str, split: str, pipeline: Sequence = (), **kwargs) -> None:
        if name not in LAYOUTS:
            raise ValueError(f'TonicDataset: name={name!r} is unknown; choose from {list(LAYOUTS)}.')
        if split not in SPLITS:
            raise ValueError(f'TonicDataset: split={split!r} is unknown; choose from {list(SPLITS)}.')
        from tonic import datasets  # heavy, and only needed where events are read
        self.name, self.split = name, split
        self.source = getattr(datasets, name)
        classes = self.source.classes
        classes = sorted(classes, key=classes.get) if isinstance(classes, dict) else classes
        metainfo = dict(classes=tuple(classes), sensor_size=tuple(self.source.sensor_size),
                        **(kwargs.pop('metainfo', None) or {}))
        # Built here, since the parent would look the names up in mmpretrain's registry.
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(ann_file='', data_root=data_root, metainfo=metainfo, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One dict per recording: ``path``, ``gt_label`` and ``reader_index``, its index in tonic's listing."""
        self.reader = self._open()
        files = [osp.relpath(path, self.reader.location_on_system).replace(osp.sep, '/') for path in self.reader.data]
        order = sorted(range(len(files)), key=files.__getitem__)
        if not self._has_own_split:
            order = last_tenth(order, self.reader.targets, self.split)
        if not order:
            raise FileNotFoundError(self._what_is_missing())
        expected = LAYOUTS[self.name].sizes.get(self.split, len(order))
        if len(order) != expected:
            print_log(f'TonicDataset: {self.reader.location_on_system} has {len(order)} recordings for '
                      f'split={self.split!r} where the published {self.name} has {expected}: results will not be '
                      'comparable.', logger='current', level=logging.WARNING)
        return [dict(path=self.reader.data[i], gt_label=int(self.reader.targets[i]), reader_index=i) for i in order]

    @property
    def _has_own_split(self) -> bool:
        return 'train' in inspect.signature(self.source).parameters

    def _open(self):
        """tonic's reader of the files, kept from downloading or unpacking anything."""
        reader = self.source.__new__(self.source)
        # tonic downloads while it is built wherever this says that files are missing. We look at what it lists instead.
        reader._check_exists = lambda: True
        try:
            reader.__init__(self.data_root, **(dict(train=self.split == 'train') if self._has_own_split else {}))
        except OSError as error:
            raise FileNotFoundError(self._what_is_missing()) from error
        except (KeyError, ValueError) as error:
            raise ValueError(f'TonicDataset: {reader.location_on_system} holds a folder or file that is not part of '
                             f'{self.name} ({error}).\n{self._expected_tree()}') from error
        del reader._check_exists  # so that the reader can be pickled for workers
        return reader

    def _what_is_missing(self) -> str:
        return (f'TonicDataset: no recordings of {self.name}, split={self.split!r}, in data_root={self.data_root!r}. '
                f'Get {LAYOUTS[self.name].archives[self.split]} and unpack it there. {self._expected_tree()}')

    def _expected_tree(self) -> str:
        tree = LAYOUTS[self.name].tree[self.split].splitlines()
        return '\n'.join(['Expected:', *(f'  {osp.join(self.data_root, line)}' for line in tree)])

    def load_events(self, data_info: dict) -> np.ndarray:
        """The events of one entry of the data list.

        Raises:
            OSError: If the file cannot be read; the message names it.
        """
        try:
            return self.reader[data_info['reader_index']][0]
        except Exception as error:  # the readers of tonic raise what they like
            raise OSError(f'TonicDataset: {data_info["path"]} cannot be read: {error}') from error

    def prepare_data(self, idx: int):
        """Read the events and run the pipeline."""
        data_info = self.get_data_info(idx)
        data_info.update(events=self.load_events(data_info), sensor_size=self.metainfo['sensor_size'])
        return self.pipeline(data_info)

    def extra_repr(self) -> List[str]:
        return [f'Name: \t{self.name}', f'Split: \t{self.split}', f'Root of data: \t{self.data_root}']


def last_tenth(order: List[int], labels: List[int], split: str) -> List[int]:
    """Of each class, the last tenth of ``order`` (rounded down) for ``'test'`` and the rest for ``'train'``."""
    chosen = []
    for label in sorted(set(labels)):
        members = [i for i in order if labels[i] == label]
        first_of_test = len(members) - len(members) // 10
        chosen += members[:first_of_test] if split == 'train' else members[first_of_test:]
    return chosen
