"""Logits distillation (Hinton et al., 2015, arXiv 1503.02531)."""
from typing import Optional

from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import full_precision
from .base import LogitsLoss


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, tau: float) -> Tensor:
    """``tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))``, the mean over the batch; logits (B, K)."""
    log_student = F.log_softmax(full_precision(student_logits) / tau, dim=-1)
    log_teacher = F.log_softmax(full_precision(teacher_logits) / tau, dim=-1)
    return tau**2 * F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)


@MODELS.register_module()
class LogitsKDLoss(LogitsLoss):
    """Hinton's distillation on the time-mean logits. Arguments as :class:`LogitsLoss`."""

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both; ``target`` is not used."""
        return self.loss_weight * kd_loss(*self.mean_logits(student, teacher), self.tau)
