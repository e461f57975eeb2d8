"""Blurred knowledge distillation (BKDSNN, ECCV 2024, arXiv 2407.09083)."""
from typing import Optional, Tuple, Union

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import time_mean, uniform_per_sample
from .base import DistillLoss
from .maps import feature_distance, pool_to


def blur_mask(x: Tensor, blur_ratio: float) -> Tensor:
    """Random mask (B, C, 1, 1) that zeroes each channel of each sample with probability ``blur_ratio``."""
    uniform = uniform_per_sample(*x.shape[:2], 1, 1, device=x.device)
    return (uniform >= blur_ratio).to(x.dtype)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` to the last bit, whose gradient is multiplied by ``factor`` on its way back."""
    return torch.lerp(x.detach(), x, factor)


@MODELS.register_module()
class BKDLoss(DistillLoss):
    r"""Blur the student's feature, restore it with a small block, and make it imitate the teacher's.

    .. math:: \alpha\,\lVert G(M\odot\mathrm{align}(\bar f^S)) - f^A\rVert^2

    with the time mean :math:`\bar f^S`, a random channel mask M (training only), the restoration block G and an
    alignment, a 1x1 convolution where the channels differ. A teacher feature (B, C) without space, such as a ViT's
    class token, is compared with the space mean of G's output.

    Under SGD the steps of align and G grow with :math:`\alpha`, and so does their share of a clipped gradient's norm.
    In the decoupled form, ``decouple=True``, both learn from the mean-form distance as it is, and :math:`\alpha` scales
    only the gradient that leaves the align layer for the student. The align layer is on G's side, since it is a part of
    the loss and not of the student, and its weights would otherwise take the steps that make the paper's form brittle.
    The value is then the distance itself: it is what align and G minimise, whatever :math:`\alpha` is.

    Without the restoration block or the align layer it is no longer the paper's loss; both are there for ablations.

    Args:
        student: Tap or path of the student's feature map, the one before its last layer; by default ``'feature'``.
        teacher: Tap or path of the teacher's feature; likewise.
        student_channels: Channels of the student's feature; the distiller fills it in.
        teacher_channels: Channels of the teacher's feature; the distiller fills it in.
        loss_weight: :math:`\alpha`, or a schedule. It belongs to ``reduction``: a weight a for ``'sum'`` is a*C*H*W for
            ``'mean'``, with the C, H, W of the teacher's feature. In the decoupled form it is not in the value.
        blur_ratio: :math:`\lambda` in [0, 1), the probability that a channel is zeroed; 0.15 in the paper.
        reduction: ``'sum'`` (the paper's: sum over C, H, W, mean over the batch) or ``'mean'``.
        rescale: Scale the teacher's feature by max(student) / max(teacher) over the batch (the authors'
            ``use_clip``). The scale is a constant: no gradient flows through it.
        resize: ``'teacher'`` pools the teacher's map to the student's size where they differ, ``'student'`` the
            restored map to the teacher's; ``None`` makes a difference an error.
        decouple: Whether align and restoration block learn without :math:`\alpha`; takes ``reduction='mean'``.
        align: Whether there is an align layer where channels differ; without, the first convolution of G brings the
            student's channels to the teacher's, and the blur acts on the student's own.
        restore: Whether there is a restoration block; without, the blurred aligned map itself imitates the teacher's.

    Raises:
        ValueError: If an argument is out of range or the features do not fit.
    """

    default_tap = 'feature'

    def __init__(self,
                 student: str,
                 teacher: str,
                 student_channels: int,
                 teacher_channels: int,
                 loss_weight: Union[float, dict],
                 blur_ratio: float = 0.15,
                 reduction: str = 'sum',
                 rescale: bool = False,
                 resize: Optional[str] = None,
                 decouple: bool = False,
                 align: bool = True,
                 restore: bool = True) -> None:
        super().__init__(student, teacher, loss_weight)
        for name, value, allowed in (('reduction', reduction, ('sum', 'mean')),
                                     ('resize', resize, (None, 'teacher', 'student'))):
            if value not in allowed:
                raise ValueError(f'BKDLoss: {name}={value!r} is unknown; choose from {allowed}.')
        if not 0 <= blur_ratio < 1:
            raise ValueError(f'BKDLoss: blur_ratio={blur_ratio} must be in [0, 1); the paper uses 0.15.')
        if decouple and reduction != 'mean':
            raise ValueError(f"BKDLoss: decouple=True takes reduction='mean', not {reduction!r}, and a loss_weight for "
                             "it: that for 'sum' times C*H*W of the teacher's feature.")
        self.blur_ratio, self.reduction, self.rescale, self.resize = blur_ratio, reduction, rescale, resize
        self.decouple = decouple
        self.align, self.restore = nn.Identity(), nn.Identity()
        width = student_channels
        if align and width != teacher_channels:
            self.align, width = nn.Conv2d(width, teacher_channels, 1), teacher_channels
        if restore:
            self.restore = nn.Sequential(
                nn.Conv2d(width, teacher_channels, 3, padding=1), nn.ReLU(inplace=True),
                nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1))
        elif width != teacher_channels:
            raise ValueError(f'BKDLoss: with align=False and restore=False nothing brings the {width} channels of the '
                             f"student to the teacher's {teacher_channels}; leave one of them on.")

    def align_student(self, student: Tensor) -> Tensor:
        """Time mean of the student's map (T, B, C, H, W), in the teacher's channels if there is an align layer."""
        return self.align(time_mean(student))

    def blur(self, aligned: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Blurred map (B, C', H, W); ``mask`` (B, C', 1, 1) replaces the random one. Eval mode draws none."""
        if mask is None and self.training:
            mask = blur_mask(aligned, self.blur_ratio)
        return aligned if mask is None else aligned * mask

    def scale_teacher(self, teacher: Tensor, aligned: Tensor) -> Tensor:
        """The teacher's feature, of any shape, with ``rescale`` as large at its largest as the aligned map."""
        return teacher * (aligned.detach().amax() / teacher.amax().clamp(min=1e-12)) if self.rescale else teacher

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None,
                mask: Optional[Tensor] = None) -> Tensor:
        """Weighted loss; in the decoupled form the distance, of which only the gradient is weighted.

        Args:
            student: (T, B, C, H, W), or (B, C, H, W).
            teacher: (B, C', H', W'), a spiking teacher's (T', B, C', H', W'), or (B, C').
            target: Not used.
            mask: Mask (B, C', 1, 1) instead of a random one, for tests and pictures.

        Returns:
            Scalar.
        """
        mean, teacher = time_mean(student), time_mean(teacher).detach()
        if mean.dim() != 4 or teacher.dim() not in (2, 4):
            raise self.shape_error(student, teacher, 'BKDLoss takes a student map (T, B, C, H, W) and a teacher map '
                                   "(B, C, H, W) or vector (B, C), such as a ViT's class token; not tokens (B, N, C). "
                                   'Hook another module (model.losses.*.student, .teacher).')
        aligned = self.align(scale_gradient(mean, self.loss_weight) if self.decouple else mean)
        teacher = self.scale_teacher(teacher, aligned)
        restored = self.restore(self.blur(aligned, mask))
        if teacher.dim() == 2:
            restored = restored.mean((-2, -1))
        elif restored.shape[-2:] != teacher.shape[-2:]:
            restored, teacher = self.match_size(restored, teacher, student)
        if restored.shape != teacher.shape:
            raise self.shape_error(student, teacher, f'the restored feature is {tuple(restored.shape)}.')
        distance = feature_distance(restored, teacher, self.reduction)
        return distance if self.decouple else self.loss_weight * distance

    def match_size(self, restored: Tensor, teacher: Tensor, student: Tensor) -> Tuple[Tensor, Tensor]:
        """Bring maps (B, C, H, W) and (B, C, H', W') to one size, as ``resize`` says; ``student`` is for the error."""
        if self.resize == 'teacher':
            return restored, pool_to(teacher, restored.shape[-2:])
        if self.resize == 'student':
            return pool_to(restored, teacher.shape[-2:]), teacher
        size = '{}x{} and {}x{}'.format(*restored.shape[-2:], *teacher.shape[-2:])
        raise self.shape_error(student, teacher, f'spatial sizes {size} differ. Hook another teacher stage '
                               "(model.losses.*.teacher), or set resize='teacher'.")
