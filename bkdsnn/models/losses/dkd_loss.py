"""Decoupled knowledge distillation (Zhao et al., CVPR 2022, arXiv 2203.08679)."""
from typing import Tuple, Union

import torch
from torch import Tensor

from bkdsnn.registry import MODELS

from ..layers import full_precision
from .base import LogitsLoss
from .functional import check_labels, kd_loss
from .schedule import Scheduled


def dkd_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, alpha: float, beta: float,
             tau: float) -> Tensor:
    r"""How sure of the right class, and which of the others come close, each with a weight of its own.

    .. math:: \alpha\,\mathrm{KL}_\tau\big((p^A_y, 1-p^A_y)\,\Vert\,(p_y, 1-p_y)\big)
              + \beta\,\mathrm{KL}_\tau\big(p^A_{k\ne y}\,\Vert\,p_{k\ne y}\big)

    with :math:`\mathrm{KL}_\tau` as in :func:`kd_loss` and the other classes' probabilities made to sum to 1. With two
    classes the second term is 0.

    Args:
        student_logits: (B, K).
        teacher_logits: (B, K).
        labels: (B,).
        alpha: Weight of the first term (TCKD).
        beta: Weight of the second term (NCKD).
        tau: Temperature.

    Returns:
        Scalar, the mean over the batch.
    """
    rank = torch.arange(student_logits.shape[1] - 1, device=labels.device)
    others = rank + (rank >= labels[:, None])  # (B, K - 1): all classes but the right one

    def split(logits: Tensor) -> Tuple[Tensor, Tensor]:
        """Logits (B, 2) of the right class and of any other, and (B, K - 1) of the others."""
        logits = full_precision(logits)
        wrong = logits.gather(1, others)
        any_other = tau * torch.logsumexp(wrong / tau, 1, keepdim=True)
        return torch.cat([logits.gather(1, labels[:, None]), any_other], 1), wrong

    tckd, nckd = (kd_loss(s, t, tau) for s, t in zip(split(student_logits), split(teacher_logits)))
    return alpha * tckd + beta * nckd


@MODELS.register_module()
class DKDLoss(LogitsLoss):
    """Decoupled distillation of the time-mean logits, see :func:`dkd_loss`.

    The defaults are those for CIFAR of megvii-research/mdistiller @ a08d46f1; for ImageNet ``beta=0.5, tau=1``. There
    the loss's weight grows in the first epochs, which is a schedule of ``loss_weight`` here. Their function masks the
    right class by -1000 and takes the logarithm of probabilities, which may underflow; its gradient to the teacher is
    NaN. Here nothing underflows, and the teacher has no gradient.

    Args:
        tau: Temperature.
        alpha: Weight of the right class's term, or a schedule; may be 0.
        beta: Weight of the other classes' term; likewise.
        **kwargs: As :class:`LogitsLoss`.
    """

    needs_labels = True
    alpha, beta = Scheduled(may_be_zero=True), Scheduled(may_be_zero=True)

    def __init__(self, tau: Union[float, dict] = 4.0, alpha: Union[float, dict] = 1.0, beta: Union[float, dict] = 8.0,
                 **kwargs) -> None:
        super().__init__(tau, **kwargs)
        self.alpha, self.beta = alpha, beta

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both, and labels (B,)."""
        student, teacher = self.mean_logits(student, teacher)
        return self.loss_weight * dkd_loss(student, teacher, check_labels(target), self.alpha, self.beta, self.tau)
