"""Temporal-wise distillation (TWD, Yu et al., ICML 2025, arXiv 2501.15925)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import check_weights, kd_loss, sum_of_right


def twd_loss(step_logits: Tensor, teacher_logits: Tensor, target: Tensor, tau: float, alpha: float, beta: float
             ) -> Tensor:
    r"""Every time step learns from the teacher, and from the mean of the steps that are right.

    .. math:: \alpha\,\tfrac1T\sum_t KL_\tau(z^A, z_t) + \beta\,\tfrac1T\sum_t KL_\tau(z^{right}, z_t)

    Args:
        step_logits: (T, B, K).
        teacher_logits: (B, K).
        target: Labels (B,). Of a sample with no right step the second target is uniform.
        tau: Temperature.
        alpha: Weight of the teacher.
        beta: Weight of the right steps, whose mean is a constant.
    """
    total, number = sum_of_right(step_logits, target)
    right = total / number.clamp(min=1).unsqueeze(-1)
    return alpha * kd_loss(step_logits, teacher_logits, tau) + beta * kd_loss(step_logits, right, tau)


@MODELS.register_module()
class TWDLoss(LogitsLoss):
    """Temporal-wise distillation, see :func:`twd_loss`; with :class:`StepwiseCELoss` in place of the task loss.

    Defaults are those of the authors' commands (Intelli-Chip-Lab/snn_temporal_decoupling_distillation at e3f5fd4); for
    ImageNet their code fixes a temperature of 1. It also runs the teacher, unused, in validation, and keeps the best
    epoch on the test set.

    Args:
        tau: Temperature.
        alpha: Weight of the teacher.
        beta: Weight of the right steps.
        **kwargs: As :class:`LogitsLoss`.
    """

    needs_labels = True

    def __init__(self, tau: Union[float, dict] = 3.0, alpha: float = 0.2, beta: float = 0.5, **kwargs) -> None:
        super().__init__(tau, **kwargs)
        check_weights(alpha=alpha, beta=beta)
        self.alpha, self.beta = alpha, beta

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K), the teacher's (B, K) and labels (B,)."""
        step_logits, teacher_logits = self.step_logits(student, teacher)
        return self.loss_weight * twd_loss(step_logits, teacher_logits, target, self.tau, self.alpha, self.beta)
