"""Temporal efficient training (TET, Deng et al., ICLR 2022, arXiv 2202.11946)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .functional import as_steps, check_weights, stepwise_cross_entropy


def tet_loss(step_logits: Tensor, target: Tensor, lamb: float, means: float) -> Tensor:
    r"""Every time step shall give the right answer, with logits near a number.

    .. math:: (1-\lambda)\,\tfrac1T\sum_t CE(z_t, y) + \lambda\,\mathrm{mean}\,(z-\phi)^2

    Args:
        step_logits: (T, B, K).
        target: Labels (B,) or soft labels (B, K).
        lamb: :math:`\lambda`.
        means: :math:`\phi`.
    """
    return (1 - lamb) * stepwise_cross_entropy(step_logits, target) + lamb * (step_logits - means).square().mean()


@MODELS.register_module()
class TETLoss(DistillLoss):
    """Temporal efficient training, see :func:`tet_loss`, in place of the task loss. No teacher is needed.

    Defaults are those of the authors' first script (Gus-Lab/temporal_efficient_training at f9bde41); in their other one
    the default of ``lamb`` is 0. Their logits are (B, T, K), and their option ``--TET False`` is true.

    Args:
        lamb: Weight of the second term, from 0 to 1.
        means: Number that the logits stay near, the firing threshold.
        student: Tap or path of the student's logits (T, B, K).
        loss_weight: Factor, or a schedule.

    Raises:
        ValueError: If ``lamb`` is out of range.
    """

    def __init__(self, lamb: float = 1e-3, means: float = 1.0, student: str = 'logits',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, loss_weight=loss_weight)
        check_weights(lamb=lamb)
        if lamb > 1:
            raise ValueError(f'TETLoss: lamb={lamb!r} must be at most 1.')
        self.lamb, self.means = lamb, means

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K) for labels (B,) or soft labels (B, K)."""
        return self.loss_weight * tet_loss(as_steps(student), target, self.lamb, self.means)
