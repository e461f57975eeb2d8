"""From a batch of images or event frames to the models' input."""
from typing import List, Optional, Sequence, Union

import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS
from bkdsnn.utils.colours import ORDERS


class SampleDataPreprocessor(ClsDataPreprocessor):
    """mmpretrain's, which moves not labels alone to the device, but what else samples hold, such as masks.

    Arguments as :class:`mmpretrain.models.ClsDataPreprocessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """As mmpretrain's."""
        data = super().forward(data, training)
        for sample in data['data_samples'] or ():
            for key, value in sample.items():
                if key not in ('gt_label', 'gt_score'):  # which have been
                    sample.set_field(self.cast_data(value), key)
        return data


@MODELS.register_module()
class ImageDataPreprocessor(SampleDataPreprocessor):
    """mmpretrain's preprocessor of images, which can say in which order of colours it gets them.

    A teacher needs to know. Where nothing is said, what the data set gives is found out before training
    (:class:`bkdsnn.engine.hooks.TeacherCheckHook`), and until then taken for BGR, as files are read.

    Args:
        channel_order: ``'bgr'`` or ``'rgb'``: what the data pipeline gives. It changes nothing of what this does:
            ``to_rgb=True`` turns the order round, whatever it is.
        **kwargs: As :class:`mmpretrain.models.ClsDataPreprocessor`.

    Raises:
        ValueError: If the order is unknown.
    """

    def __init__(self, channel_order: Optional[str] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if channel_order not in (None, *ORDERS):
            raise ValueError(f'ImageDataPreprocessor: channel_order={channel_order!r} is unknown; choose from {ORDERS} '
                             '(data_preprocessor.channel_order).')
        self.channel_order = channel_order


@MODELS.register_module()
class EventDataPreprocessor(SampleDataPreprocessor):
    """Stacks event frames, moves them to the device, and mixes samples in training.

    ``inputs`` are frames (B, T, P, H, W), frames as images (B, T * P, H, W), or a dict with such a batch for each of
    ``student`` and ``teacher``. A batch augmentation is drawn once: partners, ratio and box are the same in every time
    step, in both views and in the soft labels.

    Args:
        num_classes: Number of classes; needed for batch augmentations.
        std: Constant that the counts are divided by; ``None`` leaves them as they are.
        size: (H, W), or one number for both, that frames are averaged down to; ``None`` keeps the sensor's.
        batch_augments: ``augments`` and ``probs`` of :class:`mmpretrain.models.RandomBatchAugment`. A classifier's
            ``train_cfg`` ends here.
        to_onehot: Whether to add soft labels without augmentation too.

    Raises:
        ValueError: If an argument is out of range, or the views of a batch differ in height or width.
    """

    def __init__(self,
                 num_classes: Optional[int] = None,
                 std: Optional[float] = None,
                 size: Union[int, Sequence[int], None] = None,
                 batch_augments: Optional[dict] = None,
                 to_onehot: bool = False) -> None:
        if std is not None and not std > 0:
            raise ValueError(f'EventDataPreprocessor: std={std} must be positive (data_preprocessor.std).')
        if batch_augments and num_classes is None:
            raise ValueError('EventDataPreprocessor: batch augmentations need data_preprocessor.num_classes.')
        super().__init__(to_onehot=to_onehot, num_classes=num_classes, batch_augments=batch_augments)
        self.to_rgb = None  # polarities have no order of colours
        self.register_buffer('std', None if std is None else torch.tensor(float(std)), False)
        self.size = (size, size) if isinstance(size, int) else size if size is None else tuple(size)

    def forward(self, data: dict, training: bool = False) -> dict:
        """As mmpretrain's, for one view or a dict of them."""
        inputs = self.cast_data(data['inputs'])
        views = inputs if isinstance(inputs, dict) else dict(only=inputs)
        views = {name: self._prepare(view) for name, view in views.items()}
        if len({view.shape[-2:] for view in views.values()}) > 1:
            shapes = {name: tuple(view.shape) for name, view in views.items()}
            raise ValueError(f'EventDataPreprocessor: the views {shapes} differ in height or width.')
        # All time steps of all views side by side as the channels of one image: one draw holds for everything.
        images = [view.flatten(1, -3) for view in views.values()]
        data = super().forward(dict(data, inputs=torch.cat(images, 1) if len(images) > 1 else images[0]), training)
        images = data['inputs'].split([image.shape[1] for image in images], 1)
        views = {name: image.reshape(view.shape) for (name, view), image in zip(views.items(), images)}
        return dict(data, inputs=views if isinstance(inputs, dict) else views['only'])

    def _prepare(self, view: Union[Tensor, List[Tensor]]) -> Tensor:
        """Float frames of one view, divided by ``std`` and of the size asked for."""
        frames = (view if isinstance(view, Tensor) else torch.stack(list(view))).float()
        if self.std is not None:
            frames = frames / self.std
        if self.size is not None and frames.shape[-2:] != self.size:
            resized = F.adaptive_avg_pool2d(frames.flatten(0, -4) if frames.dim() == 5 else frames, self.size)
            frames = resized.view(*frames.shape[:-2], *self.size)
        return frames
