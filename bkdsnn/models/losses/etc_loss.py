"""Temporal consistency (ETC, Zhao et al., 2023, arXiv 2305.14174)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .functional import as_steps, kd_loss
from .schedule import Scheduled


def etc_loss(step_logits: Tensor, tau: float) -> Tensor:
    r"""Every time step learns from each of the others.

    .. math:: \tfrac1{T(T-1)}\sum_{i\ne j} KL_\tau(z_j, z_i)

    with the :math:`z_j` of the target constant; 0 for a single step.

    Args:
        step_logits: (T, B, K).
        tau: Temperature.
    """
    # Of a step with itself it is 0, so the mean over all pairs lacks those.
    steps = len(step_logits)
    return kd_loss(step_logits.unsqueeze(1), step_logits.unsqueeze(0), tau) * (steps / max(steps - 1, 1))


@MODELS.register_module()
class ETCLoss(DistillLoss):
    """Temporal consistency, see :func:`etc_loss`, beside the task loss. No teacher and no labels are needed.

    Defaults are the authors' (Brain-Cog-Lab/ETC at dc184e3), whose code divides by zero for a single time step.

    Args:
        tau: Temperature.
        student: Tap or path of the student's logits (T, B, K).
        loss_weight: Factor, or a schedule.
    """

    tau = Scheduled()

    def __init__(self, tau: Union[float, dict] = 4.0, student: str = 'logits', loss_weight: Union[float, dict] = 1.0
                 ) -> None:
        super().__init__(student, loss_weight=loss_weight)
        self.tau = tau

    def forward(self, student: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K)."""
        return self.loss_weight * etc_loss(as_steps(student), self.tau)
