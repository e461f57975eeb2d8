"""Hard-label distillation (DeiT, Touvron et al., ICML 2021, arXiv 2012.12877)."""
from typing import Optional

from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from .base import LogitsLoss


@MODELS.register_module()
class HardLogitsKDLoss(LogitsLoss):
    """Cross-entropy of the student's time-mean logits with the class that the teacher is surest of.

    Args:
        student: Tap or path of the student's logits; the classifier for distillation of
            :class:`bkdsnn.models.heads.SpikingDistillationHead`.
        teacher: Tap or path of the teacher's logits.
        **kwargs: ``loss_weight`` and ``standardise`` of :class:`LogitsLoss`. DeiT weighs it and the task's own loss by
            a half each.
    """

    def __init__(self, student: str = 'head.distilled', teacher: str = 'logits', **kwargs) -> None:
        super().__init__(1.0, student, teacher, **kwargs)

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both; ``target`` is not used."""
        student, teacher = self.mean_logits(student, teacher)
        return self.loss_weight * F.cross_entropy(student, teacher.argmax(-1))
