"""One sample of a data set, or of a file, as a network gets it and as it is drawn."""
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
from mmengine.dataset import BaseDataset, pseudo_collate

from ..datasets import pipelines
from ..utils.colours import channel_order_of
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
    return _pack(dataset[idx], f'sample {idx}', channel_order_of(dataset) == 'rgb')


def read_sample(inferencer, path: str) -> Sample:
    """An image or a recording from a file, as a :class:`bkdsnn.SpikingInferencer` reads it for its network.

    Raises:
        OSError: If the file does not exist or cannot be read.
        ValueError: If it is not what the network takes.
    """
    packed = pipelines.run(inferencer.pipeline, inferencer.reader.read(Path(path)))
    return _pack(packed, Path(path).name, inferencer.channel_order == 'rgb')


def _pack(packed: Optional[dict], name: str, is_rgb: bool) -> Sample:
    if packed is None:
        raise ValueError(f'the pipeline drops {name}; take another one.')
    step = step_of('', packed, is_rgb)
    if not step.has_something_to_see:
        raise ValueError(f'{name} is neither an image of 1 or 3 channels nor event frames (T, P, H, W).')
    image, frames = step.image, None
    if step.frames:
        counts = step.frames.get('student', next(iter(step.frames.values())))
        image, frames = event_image(counts.sum(0)), np.stack([event_image(frame) for frame in counts])
    label = packed['data_samples'].get('gt_label')
    return Sample(pseudo_collate([packed]), image, frames, name, None if label is None else int(label))
