"""Cross-entropy of every time step."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .functional import as_steps, check_weights, stepwise_cross_entropy


@MODELS.register_module()
class StepwiseCELoss(DistillLoss):
    r"""Every time step shall give the right answer, and not only their mean: the task loss of TWD, SeAl-KD and MEOM.

    .. math:: \tfrac1T\sum_t CE(z_t, y)

    It takes the place of the student's own loss, ``loss_cls=dict(type='StepwiseCELoss')``, and of what that adds:

    Args:
        student: Tap or path of the student's logits (T, B, K).
        loss_weight: Factor, or a schedule.
        label_smoothing: As in :func:`torch.nn.functional.cross_entropy`.
    """

    def __init__(self, student: str = 'logits', loss_weight: Union[float, dict] = 1.0,
                 label_smoothing: float = 0.0) -> None:
        super().__init__(student, loss_weight=loss_weight)
        check_weights(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing

    def forward(self, student: Tensor, target: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K) for labels (B,) or soft labels (B, K)."""
        return self.loss_weight * stepwise_cross_entropy(as_steps(student), target, self.label_smoothing)
