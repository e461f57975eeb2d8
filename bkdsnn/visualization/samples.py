"""One sample of a data set, or an image file, as a network gets it and as it is drawn."""
import os.path as osp
from dataclasses import dataclass
from typing import Optional

import mmcv
import numpy as np
from mmengine.dataset import BaseDataset, pseudo_collate

from .browse import event_image, step_of


@dataclass(frozen=True)
class Sample:
    """A sample at the end of its pipeline.

    Attributes:
        data: Batch of this sample, for a data preprocessor.
        image: (H, W) or (H, W, 3) of uint8; of events, all frames in one.
        frames: Of events, each frame, (T, H, W, 3) of uint8.
        name: File or number, for titles.
        label: Index of its class, where it is known.
    """

    data: dict
    image: np.ndarray
    frames: Optional[np.ndarray]
    name: str
    label: Optional[int]


def take_sample(dataset: BaseDataset, idx: int) -> Sample:
    """Sample ``idx`` of a data set of images or events.

    Raises:
        ValueError: If there is no such sample, or the pipeline drops it.
    """
    if not 0 <= idx < len(dataset):
        raise ValueError(f'sample {idx} is out of range: {type(dataset).__name__} has {len(dataset)} samples, 0 to '
                         f'{len(dataset) - 1}.')
    return _pack(dataset[idx], f'sample {idx}')


def read_sample(dataset: BaseDataset, path: str) -> Sample:
    """An image file, through the pipeline of a data set of images.

    Where the pipeline does not load files itself, the image is resized to what the data set has.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or the data set has none.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'the image {path!r} does not exist.')
    info = dict(img_path=path)
    if not any('Load' in type(transform).__name__ for transform in dataset.pipeline.transforms):
        like = dataset.get_data_info(0).get('img')
        if like is None:
            raise ValueError(f'{type(dataset).__name__} has no images, so {path!r} cannot take their place; give the '
                             'index of one of its samples.')
        image = _read_like(path, like)
        info.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
    try:
        packed = dataset.pipeline(info)
    except (AssertionError, OSError) as error:  # mmcv's way to say that a file is no image
        raise ValueError(f'{path!r} cannot be read as an image: {error}') from error
    return _pack(packed, osp.basename(path))


def _read_like(path: str, like: np.ndarray) -> np.ndarray:
    """An image file with size and channels of another image (H, W, C)."""
    image = mmcv.imread(path, 'grayscale' if like.shape[-1] == 1 else 'color')
    if image is None:
        raise ValueError(f'{path!r} cannot be read as an image.')
    return mmcv.imresize(image, like.shape[1::-1], interpolation='area').reshape(like.shape)


def _pack(packed: Optional[dict], name: str) -> Sample:
    if packed is None:
        raise ValueError(f'the pipeline drops {name}; take another one.')
    step = step_of('', packed)
    if not step.has_something_to_see:
        raise ValueError(f'{name} is neither an image of 1 or 3 channels nor event frames (T, P, H, W).')
    image, frames = step.image, None
    if step.frames:
        counts = step.frames.get('student', next(iter(step.frames.values())))
        image, frames = event_image(counts.sum(0)), np.stack([event_image(frame) for frame in counts])
    label = packed['data_samples'].get('gt_label')
    return Sample(pseudo_collate([packed]), image, frames, name, None if label is None else int(label))
