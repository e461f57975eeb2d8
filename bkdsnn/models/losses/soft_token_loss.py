"""Soft distillation through a classifier of its own (DeiT, Touvron et al., ICML 2021, arXiv 2012.12877)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .divergence import kd_loss


@MODELS.register_module()
class SoftTokenKDLoss(LogitsLoss):
    """:func:`kd_loss` between the teacher's logits and the time-mean ones of the student's classifier for distillation.

    Args:
        tau: Temperature.
        mean_over_classes: Whether the divergence is divided by K too, as in facebookresearch/deit @ 0ed02778 and by
            the authors of E-SpikeFormer: K times weaker. By default it is the paper's, a mean over the batch alone.
        student: Tap or path of the student's logits; the classifier for distillation of
            :class:`bkdsnn.models.heads.SpikingDistillationHead`.
        teacher: Tap or path of the teacher's logits.
        **kwargs: ``loss_weight`` and ``standardise`` of :class:`LogitsLoss`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, tau: Union[float, dict] = 1.0, mean_over_classes: bool = False, student: str = 'head.distilled',
                 teacher: str = 'logits', **kwargs) -> None:
        super().__init__(tau, student, teacher, **kwargs)
        self.mean_over_classes = mean_over_classes

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both."""
        student, teacher = self.mean_logits(student, teacher)
        loss = kd_loss(student, teacher, self.tau)
        return self.loss_weight * (loss / student.shape[-1] if self.mean_over_classes else loss)
