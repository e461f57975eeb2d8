"""Relational knowledge distillation (Park et al., CVPR 2019, arXiv 1904.05068)."""
import math
from typing import Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import full_precision, time_mean
from .base import DistillLoss
from .schedule import Scheduled

# Distances below 1e-6 count as that, and have no direction.
MIN_SQUARED_DISTANCE = 1e-12


def relations(x: Tensor) -> Tuple[Tensor, Tensor]:
    """Distances (B, B) of vectors (B, D), in units of their mean, and cosines (B, B, B) of their triangles' angles."""
    edges = x - x[:, None]  # [i, j]: from i to j
    squared = edges.pow(2).sum(-1)
    lengths = squared.clamp(min=MIN_SQUARED_DISTANCE).sqrt()
    # Through an infinite length no gradient flows, which otherwise would be huge.
    edges = edges / lengths.masked_fill(squared < MIN_SQUARED_DISTANCE, math.inf)[..., None]
    lengths = lengths.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), 0.0)
    with torch.autocast(x.device.type, enabled=False):
        cosines = edges @ edges.mT
    return lengths / (lengths.sum() / (len(x) * (len(x) - 1))), cosines


def rkd_loss(student: Tensor, teacher: Tensor, distance_weight: float, angle_weight: float) -> Tensor:
    r"""How far apart the shapes are that a batch's samples make in both networks.

    .. math:: w_d\,\mathrm{mean}_{ij}\,h(d_{ij}, d^A_{ij}) + w_a\,\mathrm{mean}_{ijk}\,h(\cos_{ijk}, \cos^A_{ijk})

    with smooth L1 as h, distances d in units of their mean over all pairs of samples, and the angle at i between j and
    k; entries of a sample with itself are 0 on both sides and count. Of features (B, D) and (B, D') to a scalar, which
    for a batch of one sample is 0.
    """
    student, teacher = full_precision(student), full_precision(teacher)
    if len(student) < 2:
        return student.sum() * 0
    (distances, angles), (teacher_distances, teacher_angles) = relations(student), relations(teacher)
    return (distance_weight * F.smooth_l1_loss(distances, teacher_distances)
            + angle_weight * F.smooth_l1_loss(angles, teacher_angles))


@MODELS.register_module()
class RKDLoss(DistillLoss):
    """Relations of a batch's samples, of the features' means over time and space, see :func:`rkd_loss`.

    Weights as in megvii-research/mdistiller @ a08d46f1. Where two samples' features are equal, as those of a silent
    student, the gradient of that function is some 1e11; here such a pair has no direction and no gradient.

    Args:
        distance_weight: Weight of the distances, or a schedule; may be 0.
        angle_weight: Weight of the angles; likewise.
        student: Tap or path of the student's feature, a map or a vector.
        teacher: Likewise of the teacher's.
        **kwargs: As :class:`DistillLoss`.
    """

    default_tap = 'feature'
    distance_weight, angle_weight = Scheduled(may_be_zero=True), Scheduled(may_be_zero=True)

    def __init__(self, distance_weight: Union[float, dict] = 25.0, angle_weight: Union[float, dict] = 50.0,
                 student: str = 'feature', teacher: str = 'feature', **kwargs) -> None:
        super().__init__(student, teacher, **kwargs)
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss from maps (T, B, C, H, W), (B, C', H', W') or vectors (T, B, C), (B, C')."""
        means = time_mean(student), time_mean(teacher).detach()
        if any(mean.dim() not in (2, 4) for mean in means):
            raise self.shape_error(student, teacher, 'RKDLoss takes maps (B, C, H, W) or vectors (B, C), with time '
                                   'before them. Hook another module (model.losses.*.student, .teacher).')
        vectors = (mean.mean((-2, -1)) if mean.dim() == 4 else mean for mean in map(full_precision, means))
        return self.loss_weight * rkd_loss(*vectors, self.distance_weight, self.angle_weight)
