"""One class for each sample."""
from typing import List, Optional

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .base import BATCH_AUGMENTS, Task


@MODELS.register_module()
class ClassificationTask(Task):
    """Classification: labels (B,) or soft labels (B, K), and logits (T, B, K) or (B, K)."""

    metric = dict(type='mmpretrain.Accuracy')
    accuracy = 'accuracy/top1'

    def targets(self, data_samples: List[DataSample]) -> Tensor:
        """Soft labels (B, K) where a batch augmentation made them, else labels (B,)."""
        if 'gt_score' in data_samples[0]:
            return torch.stack([sample.gt_score for sample in data_samples])
        return torch.cat([sample.gt_label for sample in data_samples])

    def check_output(self, output: Tensor) -> None:
        """Raise ValueError if a student gives no logits (T, 1, K) or (1, K) for one sample."""
        if not isinstance(output, Tensor) or output.dim() not in (2, 3) or output.shape[-2] != 1:
            raise self.misfit(output, 'logits (T, B, K)')

    def example(self, output: Tensor) -> DataSample:
        """A sample of class 0."""
        return DataSample().set_gt_label(torch.zeros(1, dtype=torch.long))

    def answers(self, output: Tensor, data_samples: List[DataSample], metainfo: dict) -> Optional[List[dict]]:
        """Classes that a teacher's logits (B, K) are largest for; ``None`` if the data have other classes."""
        classes = metainfo.get('classes')
        if output.dim() != 2 or classes and output.shape[-1] != len(classes):
            return None
        return [dict(pred_label=label, gt_label=sample.gt_label)
                for label, sample in zip(output.argmax(-1, keepdim=True), data_samples)]

    def why_targets_are_soft(self, student: nn.Module) -> Optional[str]:
        """The config key that makes soft labels of labels in training, or ``None``."""
        if getattr(student.data_preprocessor, 'batch_augments', None):
            return BATCH_AUGMENTS
        return 'data_preprocessor.to_onehot' if getattr(student.data_preprocessor, 'to_onehot', False) else None
