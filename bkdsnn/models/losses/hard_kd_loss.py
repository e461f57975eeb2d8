"""Hard-label distillation (DeiT, Touvron et al., ICML 2021, arXiv 2012.12877)."""
from typing import Optional

from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import time_mean
from .base import LogitsLoss


@MODELS.register_module()
class HardLogitsKDLoss(LogitsLoss):
    """Cross-entropy of the student's time-mean logits with the class that the teacher is surest of.

    Args:
        student: Tap or path of the student's logits; the classifier for distillation of
            :class:`bkdsnn.models.heads.SpikingDistillationHead`.
        teacher: Tap or path of the teacher's logits.
        loss_weight: Factor of the loss. DeiT weighs it and the task's own loss by a half each.
    """

    def __init__(self, student: str = 'head.distilled', teacher: str = 'logits', loss_weight: float = 1.0) -> None:
        super().__init__(tau=1.0, student=student, teacher=teacher, loss_weight=loss_weight)

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both; ``target`` is not used."""
        self.check_classes(student, teacher)
        return self.loss_weight * F.cross_entropy(time_mean(student).float(), time_mean(teacher).argmax(-1))
