"""Saliency-scaled activation maps (SAMD of CKDSNN, Liu et al., AAAI 2026, arXiv 2511.06902)."""
from typing import Dict, Union

from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import full_precision, time_mean
from .base import DistillLoss, Taps
from .maps import pool_alike, spatial_map
from .schedule import Scheduled


def scaled(maps: Tensor, per_sample: bool = False) -> Tensor:
    """Maps (B, H, W) from 0 to about 1: over the whole batch, or each sample by itself; gradients flow through both."""
    axes, eps = ((-2, -1), 1e-8) if per_sample else ((0, 1, 2), 1e-3)
    maps = maps - maps.amin(axes, keepdim=True)
    return maps / (maps.amax(axes, keepdim=True) + eps)


def activation_map(steps: Tensor) -> Tensor:
    """The sum over time and channels of the student's spikes (T, B, C, H, W): (B, H, W)."""
    return full_precision(steps).sum((0, 2))


def class_activation_map(feature: Tensor, weights: Tensor) -> Tensor:
    """The positive part of a weighted sum of the teacher's channels: (B, C, H, W) and (B, C) make (B, H, W)."""
    return (full_precision(feature) * full_precision(weights)[..., None, None]).sum(1).relu().detach()


def samd_loss(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    r""":math:`KL(\mathrm{softmax}(m^A/\tau)\Vert\mathrm{softmax}(m/\tau))` over the places of scaled maps (B, H, W).

    Each probability is enlarged by 1e-10. The mean is over the batch.
    """
    p, q = (F.softmax(maps.flatten(1) / tau, dim=-1) + 1e-10 for maps in (teacher.detach(), student))
    return F.kl_div(q.log(), p, reduction='batchmean')


@MODELS.register_module()
class SAMDLoss(DistillLoss):
    r"""The student shall be active where the teacher sees its class, see :func:`samd_loss`; beside the task loss.

    The teacher's map is that of the class which it answers, right or not: the classifier's weights times the last map.
    Tokens of a ViT are taken for a map as if the classifier read their mean (our reading). Maps of other sizes are
    pooled to the smaller one before they are scaled.

    The authors' code (SinoLeu/CKDSNN at 13c9f7b, which lacks functions that an earlier commit has) does so, with maps
    scaled over the batch, and is the default. Their paper has Grad-CAM instead (``grad_cam=True``; of a pooled linear
    classifier it differs in the scaling alone, each sample by itself) and a factor of :math:`\tau^2`
    (``loss_weight=4.0``). Their teacher is in train mode and its statistics drift; ours is frozen.

    Args:
        tau: Temperature.
        grad_cam: Whether the teacher's map is scaled by itself.
        student: Tap or path of the student's map (T, B, C, H, W).
        teacher: Taps or paths of the teacher's ``maps``, of which the last counts, and ``logits``.
        teacher_part: Tap or path of its classifier, a linear layer.
        loss_weight: Factor, or a schedule.

    Raises:
        ValueError: If the classifier is not linear, or reads other channels than the map has.
    """

    tau = Scheduled()

    def __init__(self, tau: Union[float, dict] = 2.0, grad_cam: bool = False, student: Taps = 'feature',
                 teacher: Taps = dict(maps='stages', logits='logits'), teacher_part: str = 'classifier',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, teacher, loss_weight)
        self.tau, self.grad_cam, self.teacher_part = tau, grad_cam, teacher_part

    def forward(self, student: Tensor, teacher: Dict[str, Tensor], teacher_part: nn.Module) -> Tensor:
        """Weighted loss of maps (T, B, C, H, W), ``maps`` and ``logits`` (B, K) of the teacher and its classifier."""
        maps = teacher['maps'][-1] if isinstance(teacher['maps'], (list, tuple)) else teacher['maps']
        if student.dim() != 5:
            raise self.shape_error(student, maps, 'SAMDLoss takes a student map (T, B, C, H, W).')
        feature = spatial_map(time_mean(maps))
        if not isinstance(teacher_part, nn.Linear) or teacher_part.in_features != feature.shape[1]:
            what = f'reads {teacher_part.in_features}' if isinstance(teacher_part, nn.Linear) else \
                f'is a {type(teacher_part).__name__}'
            raise ValueError(f'SAMDLoss: class activation needs a linear classifier of the {feature.shape[1]} channels '
                             f'of the map, but {self.teacher_part!r} {what}. Name another map '
                             '(model.losses.*.teacher.maps), or take another method with this teacher.')
        weights = teacher_part.weight[time_mean(teacher['logits']).argmax(-1)]
        if self.grad_cam:
            weights = weights / feature[0, 0].numel()
        own, other = pool_alike(activation_map(student), class_activation_map(feature, weights))
        return self.loss_weight * samd_loss(scaled(own), scaled(other, per_sample=self.grad_cam), self.tau)
