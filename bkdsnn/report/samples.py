"""Test samples and what they look like."""
from dataclasses import dataclass
from typing import Dict, Union

import numpy as np
import torch
from torch import Tensor

from ..config.networks import model_config, student_config
from ..runs.folders import Run
from ..utils.colours import channel_order_of
from ..visualization.browse import event_image
from ..visualization.figures import picture_of
from .networks import Data

Inputs = Union[Tensor, Dict[str, Tensor]]


@dataclass
class TestBatch:
    """The first batch of the test data.

    Attributes:
        batch: As the data loader gives it, for a data preprocessor.
        labels: Class indices, shape (B, ).
        source: The test data.
        bgr: Whether images are read as BGR.
    """

    __test__ = False  # not for pytest

    batch: dict
    labels: Tensor
    source: Data
    bgr: bool

    @classmethod
    def of(cls, run: Run, data: Data) -> 'TestBatch':
        """The first batch of a run's test data."""
        batch = next(iter(data.loader))
        labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        return cls(batch, labels, data, reads_bgr(run))

    def picture(self, index: int) -> np.ndarray:
        """Picture of a sample, RGBA (H, W, 4) of uint8."""
        inputs = self.batch['inputs']
        return picture({view: batch[index] for view, batch in inputs.items()} if isinstance(inputs, dict)
                       else inputs[index], self.bgr)

    def class_of(self, index: int) -> str:
        """Name of a sample's class."""
        return self.source.name_of(int(self.labels[index]))


def reads_bgr(run: Run) -> bool:
    """Whether a run's images are BGR, as all are whose data preprocessor or data set does not say otherwise."""
    preprocessor = student_config(model_config(run.config)).get('data_preprocessor') or {}
    dataset = (run.config.get('test_dataloader') or {}).get('dataset')
    order = preprocessor.get('channel_order') or (
        channel_order_of(dataset, run.config.get('default_scope')) if dataset else None)
    return order != 'rgb'


def picture(inputs: Inputs, bgr: bool) -> np.ndarray:
    """Picture of one sample, RGBA (H, W, 4) of uint8.

    Args:
        inputs: An image (C, H, W) or event frames (T, P, H, W), of which all events of a pixel are shown; of views, the
            student's.
        bgr: Whether images are BGR.
    """
    inputs = inputs['student'] if isinstance(inputs, dict) else inputs
    if inputs.dim() == 3:
        return picture_of(inputs.flip(0) if bgr and len(inputs) == 3 else inputs)
    frame = inputs.float().sum(0)
    if len(frame) > 2:
        return picture_of(frame)
    rgb = event_image(frame.numpy())
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)


@dataclass
class Example:
    """A sample that the student gets wrong and the teacher right.

    Attributes:
        index: In the test data.
        image: RGBA (H, W, 4) of uint8.
        label: Name of its class.
        answers: By name of the network, the class it names and its probability; the student first, the teacher last.
    """

    index: int
    image: np.ndarray
    label: str
    answers: Dict[str, tuple]
