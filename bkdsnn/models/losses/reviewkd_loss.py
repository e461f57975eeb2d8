"""Knowledge review (ReviewKD, Chen et al., CVPR 2021, arXiv 2104.09044)."""
from typing import List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import full_precision
from .base import DistillLoss, Taps
from .maps import pool_to
from .stages import as_list, stage_maps

POOLED_SIZES = (4, 2, 1)


def hcl_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Hierarchical context loss: squared distance of two maps, and of what is pooled of them.

    .. math:: \frac{\sum_i 2^{-i}\,\mathrm{MSE}(\mathrm{pool}_i f^S, \mathrm{pool}_i f^A)}{\sum_i 2^{-i}}

    over the maps themselves and averages of 4x4, 2x2 and 1x1, of those the ones that are smaller than the map.

    Args:
        student: (B, C, H, W).
        teacher: The same shape.

    Returns:
        Scalar.
    """
    student, teacher = full_precision(student), full_precision(teacher)
    distances = [F.mse_loss(student, teacher)]
    for size in POOLED_SIZES:
        if size < min(student.shape[-2:]):
            distances.append(F.mse_loss(*(pool_to(x, size) for x in (student, teacher))))
    weights = [0.5**i for i in range(len(distances))]
    return sum(weight * distance for weight, distance in zip(weights, distances)) / sum(weights)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that uses its running statistics for a batch of one value per channel, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class AttentionFusion(nn.Module):
    """Fuses a stage of the student with all deeper ones (ABF), by two maps of attention.

    Args:
        in_channels: Channels of the student's stage.
        mid_channels: Channels of what goes from stage to stage.
        out_channels: Channels of the teacher's stage.
        fuse: Whether there is a deeper stage.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, fuse: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, mid_channels, 1, bias=False), BatchNorm(mid_channels))
        self.attend = nn.Sequential(nn.Conv2d(2 * mid_channels, 2, 1), nn.Sigmoid()) if fuse else None
        self.expand = nn.Sequential(nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
                                    BatchNorm(out_channels))
        for conv in (self.reduce[0], self.expand[0]):
            nn.init.kaiming_uniform_(conv.weight, a=1)

    def forward(self, x: Tensor, deeper: Optional[Tensor], size: Sequence[int]) -> Tuple[Tensor, Tensor]:
        """What is compared with the teacher (B, C', ``*size``), and what the next shallower stage gets."""
        x = self.reduce(x)
        if self.attend is not None:
            deeper = F.interpolate(deeper, x.shape[-2:])
            own, others = self.attend(torch.cat([x, deeper], 1)).chunk(2, 1)
            x = x * own + deeper * others
        x = F.interpolate(x, size)
        return self.expand(x), x


@MODELS.register_module()
class ReviewKDLoss(DistillLoss):
    r"""From deep to shallow, each stage of the student with all deeper ones imitates the teacher's stage.

    .. math:: \sum_l \mathrm{HCL}\big(\mathrm{ABF}_l(\bar f^S_l, \mathrm{ABF}_{l+1}(\dots)), f^A_l\big)

    with :func:`hcl_loss` and :class:`AttentionFusion`, on time means of the student's maps. The fusions are parts of
    the loss, trained with the student and thrown away afterwards. As in megvii-research/mdistiller @ a08d46f1, where
    the weight of 1 grows in the first epochs, which is a schedule of ``loss_weight`` here; there the teacher's maps are
    those before their activations, and maps have to be square.

    Args:
        student_channels: Channels of the student's stages, shallow to deep; the distiller fills them in.
        teacher_channels: Likewise of the teacher's.
        mid_channels: Channels of what goes from stage to stage; by default those of the deepest stage, at most 512.
        pooled: Whether the space means of the deepest stage are one more stage, as in the authors' code.
        student: Tap or paths of the student's stages; by default ``'stages'``.
        teacher: Likewise of the teacher's, as many; tokens of a vision transformer become maps, see
            :func:`bkdsnn.models.losses.spatial_map`.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If an argument is out of range, or there are not as many stages on both sides.
    """

    default_tap = 'stages'

    def __init__(self, student_channels: List[int], teacher_channels: List[int], mid_channels: Optional[int] = None,
                 pooled: bool = True, student: Taps = 'stages', teacher: Taps = 'stages',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, teacher, loss_weight)
        student_channels, teacher_channels = as_list(student_channels), as_list(teacher_channels)
        if len(student_channels) != len(teacher_channels):
            raise ValueError(f'ReviewKDLoss: {len(student_channels)} stages of the student and '
                             f'{len(teacher_channels)} of the teacher; name as many of both, shallow to deep.')
        if mid_channels is None:
            mid_channels = min(512, student_channels[-1])
        self.pooled = pooled
        channels = [*zip(student_channels, teacher_channels)]
        channels += channels[-1:] * pooled
        self.fusions = nn.ModuleList(AttentionFusion(mine, mid_channels, theirs, fuse=i > 0)
                                     for i, (mine, theirs) in enumerate(reversed(channels)))

    def forward(self, student: List[Tensor], teacher: List[Tensor]) -> Tensor:
        """Weighted loss from each stage's maps (T, B, C, H, W), and (B, C', H', W') or tokens (B, N, C')."""
        maps = stage_maps(student, teacher)
        if self.pooled:
            maps.append(tuple(x.mean((-2, -1), keepdim=True) for x in maps[-1]))
        total, deeper = 0.0, None
        for fusion, (mine, theirs) in zip(self.fusions, reversed(maps)):
            fused, deeper = fusion(mine, deeper, theirs.shape[-2:])
            total = total + hcl_loss(fused, theirs)
        return self.loss_weight * total
