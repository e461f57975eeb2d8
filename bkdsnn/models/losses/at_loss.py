"""Attention transfer (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928)."""
from typing import List, Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss, Taps
from .maps import attention_maps, feature_distance
from .schedule import Scheduled
from .stages import stage_maps


def at_loss(student: Tensor, teacher: Tensor, p: float) -> Tensor:
    r"""How far apart the places are that two maps attend to.

    .. math:: \mathrm{mean}_{b,hw}\big(a(f^S)-a(f^A)\big)^2,\quad
              a(f)=\frac{\mathrm{mean}_c\,|f_c|^p}{\lVert\mathrm{mean}_c\,|f_c|^p\rVert_{hw}}

    Args:
        student: (B, C, H, W).
        teacher: (B, C', H', W'). The larger of the two is average-pooled to the smaller.
        p: Exponent.

    Returns:
        Scalar.
    """
    return feature_distance(*attention_maps(student, teacher, p), 'mean')


@MODELS.register_module()
class ATLoss(DistillLoss):
    """Attention transfer from the teacher's stages to the time means of the student's, summed over the stages.

    As in megvii-research/mdistiller @ a08d46f1, whose weight is 1000. There features are raised to the power as they
    are, here, as in the paper, their absolute values; at the default of 2 that is the same. LaSNN's form sums over
    space.

    Args:
        p: Exponent, at least 1, or a schedule.
        student: Tap or paths of the student's stages; by default ``'stages'``.
        teacher: Likewise of the teacher's, as many; tokens of a vision transformer become maps, see
            :func:`bkdsnn.models.losses.spatial_map`.
        loss_weight: Factor of the loss.
    """

    default_tap = 'stages'
    p = Scheduled(least=1, hint=' Below 1 a channel that is silent has an infinite gradient.')

    def __init__(self, p: Union[float, dict] = 2.0, student: Taps = 'stages', teacher: Taps = 'stages',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, teacher, loss_weight)
        self.p = p

    def forward(self, student: List[Tensor], teacher: List[Tensor]) -> Tensor:
        """Weighted loss from each stage's maps (T, B, C, H, W), and (B, C', H', W') or tokens (B, N, C')."""
        return self.loss_weight * sum(at_loss(*maps, self.p) for maps in stage_maps(student, teacher))
