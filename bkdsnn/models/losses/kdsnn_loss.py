"""Feature distillation of KDSNN (Xu et al., CVPR 2023, arXiv 2304.05627)."""
from typing import Union

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import time_mean
from .base import DistillLoss
from .maps import feature_distance, pool_alike, spatial_map


@MODELS.register_module()
class KDSNNLoss(DistillLoss):
    r"""The student's feature shall be the teacher's: the feature part of KDSNN, beside the task loss and logits' KD.

    .. math:: \alpha\,\tfrac1B\,\lVert\mathrm{align}(\bar f^S) - f^A\rVert^2

    with the time mean :math:`\bar f^S` and a 1x1 convolution where the channels differ. Maps of other sizes are pooled
    to the smaller one; with a vector (B, C), such as a ViT's class token, the space mean is compared.

    No code of the authors' is public. Form and default are those of the comparison in BKDSNN's repository.

    Args:
        student_channels: Channels of the student's feature; the distiller fills it in.
        teacher_channels: Likewise of the teacher's.
        student: Tap or path of the student's map (T, B, C, H, W).
        teacher: Tap or path of the teacher's map, tokens or vector.
        loss_weight: :math:`\alpha`, or a schedule. It belongs to the reduction.
        reduction: ``'sum'`` over C, H and W, or their ``'mean'``.

    Raises:
        ValueError: If the reduction is unknown.
    """

    default_tap = 'feature'

    def __init__(self, student_channels: int, teacher_channels: int, student: str = 'feature', teacher: str = 'feature',
                 loss_weight: Union[float, dict] = 7e-5, reduction: str = 'sum') -> None:
        super().__init__(student, teacher, loss_weight)
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"KDSNNLoss: reduction={reduction!r} is unknown; choose 'sum' or 'mean'.")
        self.reduction, self.align = reduction, nn.Identity()
        if student_channels != teacher_channels:
            self.align = nn.Conv2d(student_channels, teacher_channels, 1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss of a map (T, B, C, H, W) and the teacher's map, tokens (B, N, C) or vector (B, C)."""
        mean, teacher = time_mean(student), time_mean(teacher).detach()
        if mean.dim() != 4:
            raise self.shape_error(student, teacher, 'KDSNNLoss takes a student map (T, B, C, H, W).')
        aligned = self.align(mean)
        if teacher.dim() == 2:
            aligned = aligned.mean((-2, -1))
        else:
            aligned, teacher = pool_alike(aligned, spatial_map(teacher))
        return self.loss_weight * feature_distance(aligned, teacher, self.reduction)
