"""Logits distillation (Hinton et al., 2015, arXiv 1503.02531)."""
from typing import Optional

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import kd_loss


@MODELS.register_module()
class LogitsKDLoss(LogitsLoss):
    """Hinton's distillation on the time-mean logits. Arguments as :class:`LogitsLoss`."""

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both; ``target`` is not used."""
        return self.loss_weight * kd_loss(*self.mean_logits(student, teacher), self.tau)
