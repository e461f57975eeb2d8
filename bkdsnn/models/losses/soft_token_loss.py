"""Soft distillation through a classifier of its own (DeiT, Touvron et al., ICML 2021, arXiv 2012.12877)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import kd_loss


@MODELS.register_module()
class SoftTokenKDLoss(LogitsLoss):
    """:func:`kd_loss` between the teacher's logits and the time-mean ones of the student's classifier for distillation.

    Args:
        tau: Temperature.
        reduction: ``'batchmean'``, the paper's mean over the batch, or ``'mean'`` over the classes, too, as in
            facebookresearch/deit @ 0ed02778 and by the authors of E-SpikeFormer: K times weaker.
        student: Tap or path of the student's logits; the classifier for distillation of
            :class:`bkdsnn.models.heads.SpikingDistillationHead`.
        teacher: Tap or path of the teacher's logits.
        **kwargs: ``loss_weight`` and ``standardise`` of :class:`LogitsLoss`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, tau: Union[float, dict] = 1.0, reduction: str = 'batchmean', student: str = 'head.distilled',
                 teacher: str = 'logits', **kwargs) -> None:
        super().__init__(tau, student, teacher, **kwargs)
        if reduction not in ('batchmean', 'mean'):
            raise ValueError(f"SoftTokenKDLoss: reduction={reduction!r} is unknown; choose 'batchmean' or 'mean'.")
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both."""
        return self.loss_weight * kd_loss(*self.mean_logits(student, teacher), self.tau, self.reduction)
