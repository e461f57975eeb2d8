"""Weighted soft-label distillation (Zhou et al., ICLR 2021, arXiv 2102.00650), the logits part of BKDSNN."""
from typing import Optional

import torch
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import full_precision
from .base import LogitsLoss


def wsld_loss(student_logits: Tensor, teacher_logits: Tensor, target: Tensor, tau: float) -> Tensor:
    r"""Soft cross-entropy, weighted by how far the student's error exceeds the teacher's.

    .. math:: \tau^2\,\mathrm{mean}_b\big[(1-e^{-CE(z,y)/(CE(z^A,y)+10^{-7})})\,
              CE(\mathrm{softmax}(z^A/\tau), \mathrm{softmax}(z/\tau))\big]

    The weight is a constant and uses a temperature of 1.

    Args:
        student_logits: (B, K).
        teacher_logits: (B, K).
        target: Labels (B,), or soft labels (B, K) of mixup and cutmix.
        tau: Temperature.

    Returns:
        Scalar, the mean over the batch.
    """
    student_logits, teacher_logits = full_precision(student_logits), full_precision(teacher_logits)
    if target.is_floating_point():
        target = full_precision(target)
    with torch.no_grad():
        ce_student = F.cross_entropy(student_logits, target, reduction='none')
        ce_teacher = F.cross_entropy(teacher_logits, target, reduction='none')
        weight = 1 - torch.exp(-ce_student / (ce_teacher + 1e-7))
    soft = F.cross_entropy(student_logits / tau, F.softmax(teacher_logits / tau, dim=-1), reduction='none')
    return tau**2 * (weight * soft).mean()


@MODELS.register_module()
class WSLDLoss(LogitsLoss):
    """Weighted soft-label distillation on the time-mean logits. Arguments as :class:`LogitsLoss`."""

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss.

        Args:
            student: Logits (T, B, K) or (B, K).
            teacher: Logits (B, K), or (T', B, K) of a spiking teacher.
            target: Labels (B,) or soft labels (B, K); required.

        Returns:
            Scalar.

        Raises:
            ValueError: If the class counts differ or the target does not fit the batch.
        """
        student, teacher = self.mean_logits(student, teacher)
        if target is None or target.shape not in (student.shape[:1], student.shape):
            got = None if target is None else tuple(target.shape)
            raise ValueError(f'WSLDLoss: the target must be labels ({student.shape[0]},) or soft labels '
                             f'{tuple(student.shape)}, got {got}.')
        return self.loss_weight * wsld_loss(student, teacher, target, self.tau)
