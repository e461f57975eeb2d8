"""One class for each sample."""
from typing import List, Optional

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import time_mean


@MODELS.register_module()
class ClassificationTask:
    """All that a distiller and the teacher's check know of classification.

    Another task is another class with these methods, named by ``model.task``.

    Attributes:
        metric: Config of the metric that a teacher is checked by.
        accuracy: Key of its result that ``teacher.expected_accuracy`` is about, in percent.
    """

    metric = dict(type='mmpretrain.Accuracy')
    accuracy = 'accuracy/top1'

    def targets(self, data_samples: List[DataSample]) -> Tensor:
        """Soft labels (B, K) where a batch augmentation made them, else labels (B,)."""
        if 'gt_score' in data_samples[0]:
            return torch.stack([sample.gt_score for sample in data_samples])
        return torch.cat([sample.gt_label for sample in data_samples])

    def example(self) -> DataSample:
        """A sample of class 0, on which losses are tried when a model is built."""
        return DataSample().set_gt_label(torch.zeros(1, dtype=torch.long))

    def why_targets_are_soft(self, student: nn.Module) -> Optional[str]:
        """The config key that makes soft labels of labels in training, or ``None``."""
        preprocessor = student.data_preprocessor
        if getattr(preprocessor, 'batch_augments', None):
            return 'model.student.train_cfg.augments (or data_preprocessor.batch_augments)'
        return 'data_preprocessor.to_onehot' if getattr(preprocessor, 'to_onehot', False) else None

    def check_output(self, output: Tensor) -> None:
        """Check what the student gives for one sample.

        Raises:
            ValueError: If it is not logits (T, 1, K) or (1, K).
        """
        if not isinstance(output, Tensor) or output.dim() not in (2, 3) or output.shape[-2] != 1:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f'{type(self).__name__} takes a student that gives logits (T, B, K), but for one sample '
                             f'it gives {shape}. Name the task that its head is made for in model.task.')

    def answers(self, output: Tensor, data_samples: List[DataSample], classes: Optional[int] = None
                ) -> Optional[List[dict]]:
        """What the metric wants to know of a network's answers.

        Args:
            output: Logits (B, K), or (T, B, K).
            data_samples: With their labels.
            classes: How many the data have; ``None`` if they do not say.

        Returns:
            One dict for each sample; ``None`` if the network answers with other classes.
        """
        logits = time_mean(output)
        if classes and logits.shape[-1] != classes:
            return None
        return [dict(pred_label=label, gt_label=sample.gt_label)
                for label, sample in zip(logits.argmax(-1, keepdim=True), data_samples)]
