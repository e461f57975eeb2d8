"""Temporal knowledge sharing (TKS, Dong et al., 2023, arXiv 2304.06540)."""
from typing import Union

from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .functional import as_steps, stepwise_cross_entropy, sum_of_right
from .schedule import Scheduled, is_number


def tks_loss(step_logits: Tensor, target: Tensor, tau: float, detach: bool = False) -> Tensor:
    r"""Every time step learns from the sum of the steps that are right.

    .. math:: \tau^2\,\tfrac1T\sum_t CE(\mathrm{softmax}(q/\tau), z_t), \quad q = \sum_{t\,\mathrm{right}} z_t

    Args:
        step_logits: (T, B, K), not divided by the temperature.
        target: Labels (B,). Of a sample with no right step the soft target is uniform.
        tau: Temperature.
        detach: Whether q is a constant.
    """
    right, _ = sum_of_right(step_logits, target)
    soft = F.softmax((right.detach() if detach else right) / tau, dim=-1)
    return tau**2 * stepwise_cross_entropy(step_logits, soft)


@MODELS.register_module()
class TKSLoss(DistillLoss):
    r"""Temporal knowledge sharing, in place of the task loss.

    .. math:: a\,CE(\bar z, y) + (1 - a)\,L_\mathrm{soft}

    with :func:`tks_loss` and a from 1 in the first epoch down to 1 - ``alpha`` after the last. No teacher is needed.

    Defaults are those of the authors' commands (Brain-Cog-Lab/TKS at 52401db); their scripts would otherwise take 1 and
    1. That a gradient flows into q, too, and that q is a sum, the sharper the more steps are right, is theirs.

    Args:
        tau: Temperature.
        alpha: How far the weight of the cross-entropy falls.
        static: Whether that weight is ``alpha`` itself throughout (their ``--staticalpha``).
        detach: Whether q is a constant.
        student: Tap or path of the student's logits (T, B, K).
        loss_weight: Factor, or a schedule.

    Raises:
        ValueError: If ``alpha`` is not above 0 and at most 1, or is 1 throughout.
    """

    needs_labels = True
    tau = Scheduled()
    soft_weight = Scheduled(may_vanish=True)

    def __init__(self, tau: Union[float, dict] = 3.0, alpha: float = 0.7, static: bool = False, detach: bool = False,
                 student: str = 'logits', loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, loss_weight=loss_weight)
        if not (is_number(alpha) and 0 < alpha <= 1) or static and alpha == 1:
            raise ValueError(f'TKSLoss: alpha={alpha!r} must be above 0 and at most 1, with static=True below it.')
        self.tau, self.detach = tau, detach
        self.soft_weight = 1 - alpha if static else dict(points=[(0, 0.0), (1, alpha)], by_epoch=True)

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K) for labels (B,)."""
        step_logits, share = as_steps(student), self.soft_weight
        hard = F.cross_entropy(step_logits.mean(0), target)
        return self.loss_weight * ((1 - share) * hard + share * tks_loss(step_logits, target, self.tau, self.detach))
