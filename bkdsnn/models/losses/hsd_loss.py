"""Step-wise distillation (HSD, Zhong et al., ACM MM 2024, arXiv 2409.12507)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import kd_loss


@MODELS.register_module()
class HSDLoss(LogitsLoss):
    r"""Every time step learns from the teacher's mean, beside the task loss.

    .. math:: \tfrac1T\sum_t \tfrac1K KL_\tau(z^A, z_t)

    The authors' code (hsw0929/HSD at 524f77d) averages over the classes, too, and so does the default; that is K times
    weaker than the usual distillation, which is ``reduction='batchmean'``. Its temperature is 2 in one place and 10 in
    another. Its loop lacks an argument, and runs the student twice without a reset for the two terms of the loss. Their
    teacher is a converted ANN, their hybrid schedule of frames is not part of the loss.

    Args:
        tau: Temperature.
        reduction: ``'mean'`` or ``'batchmean'``.
        **kwargs: As :class:`LogitsLoss`.

    Raises:
        ValueError: If the reduction is unknown.
    """

    def __init__(self, tau: Union[float, dict] = 2.0, reduction: str = 'mean', **kwargs) -> None:
        super().__init__(tau, **kwargs)
        if reduction not in ('mean', 'batchmean'):
            raise ValueError(f"HSDLoss: reduction={reduction!r} is unknown; choose 'mean' or 'batchmean'.")
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K) and the teacher's (B, K)."""
        return self.loss_weight * kd_loss(*self.step_logits(student, teacher), self.tau, self.reduction)
