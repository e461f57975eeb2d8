"""Branch self-distillation (ESD, "Enhanced self-distillation", NeurIPS 2025, arXiv 2510.06254)."""
from typing import Dict, List, Union

import torch
from mmcv.cnn import DepthwiseSeparableConvModule
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import time_mean
from .base import DistillLoss, Taps
from .functional import as_steps, check_weights, soft_kl, sum_of_right
from .schedule import Scheduled


def esd_loss(branch_logits: Tensor, target: Tensor, tau: float, alpha: float, beta: float) -> Tensor:
    r"""Every branch shall give the right answer, and learns from the mean of those that do.

    .. math:: \alpha\sum_n CE(z_n, y) + \beta\sum_n KL_\tau(z^{right}, z_n)

    Args:
        branch_logits: (N, B, K).
        target: Labels (B,). Samples with no right branch are left out of the second term, whose mean is over the
            others; it is 0 if there are none.
        tau: Temperature.
        alpha: Weight of the first term.
        beta: Weight of the second.
    """
    total, number = sum_of_right(branch_logits, target)
    right = (total / number.clamp(min=1).unsqueeze(-1)).detach()
    kept = number > 0
    soft = tau**2 * soft_kl(branch_logits, right, tau, reduction='none')
    hard = sum(F.cross_entropy(logits, target) for logits in branch_logits)
    return alpha * hard + beta * (soft * kept).sum() / kept.sum().clamp(min=1)


def branch(channels: List[int], num_classes: int) -> nn.Sequential:
    """A head (B, K) on a map: for each stage from there to the last, two separable convolutions that halve its size."""
    cfg = dict(kernel_size=3, padding=1, norm_cfg=None, act_cfg=None, pw_norm_cfg=dict(type='BN'),
               pw_act_cfg=dict(type='ReLU'))
    layers = [layer for width, wider in zip(channels, channels[1:]) for layer in (
        DepthwiseSeparableConvModule(width, width, stride=2, **cfg),
        DepthwiseSeparableConvModule(width, wider, stride=1, **cfg))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_classes))


@MODELS.register_module()
class ESDLoss(DistillLoss):
    r"""Branch self-distillation, in place of the task loss: :func:`esd_loss` divided by T. No teacher is needed.

    Branches are ordinary heads on the time means of the student's stages but the last, trained with it and thrown away
    afterwards, and the student's own time-mean logits.

    Defaults and branches are the authors' (Intelli-Chip-Lab/enhanced-self-distillation-framework-for-snn at d44e876;
    ``alpha`` is 0.7 for ImageNet). They divide by T what they sum over the branches, so that the scale depends on both.
    Their loss is NaN where no branch is right for any sample of a batch, ours then lacks the second term. They train
    the stages by rates instead of through time, which is not part of the loss.

    Args:
        student_channels: Channels of the student's taps; the distiller fills it in.
        tau: Temperature.
        alpha: Weight of the cross-entropies.
        beta: Weight of the distillation.
        student: Taps or paths of the student's ``stages``, maps (T, B, C, H, W), and ``logits`` (T, B, K).
        loss_weight: Factor, or a schedule.
    """

    needs_labels = True
    tau = Scheduled()

    def __init__(self, student_channels: Dict[str, Union[int, List[int]]], tau: Union[float, dict] = 3.0,
                 alpha: float = 1.0, beta: float = 0.3, student: Taps = dict(stages='stages', logits='logits'),
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, loss_weight=loss_weight)
        check_weights(alpha=alpha, beta=beta)
        self.tau, self.alpha, self.beta = tau, alpha, beta
        widths = student_channels['stages']
        self.branches = nn.ModuleList(branch(widths[i:], student_channels['logits']) for i in range(len(widths) - 1))

    def forward(self, student: Dict[str, Union[Tensor, List[Tensor]]], target: Tensor) -> Tensor:
        """Weighted loss of maps and logits for labels (B,)."""
        step_logits = as_steps(student['logits'])
        answers = [head(time_mean(stage)) for head, stage in zip(self.branches, student['stages'])]
        answers = torch.stack([*(answer.to(step_logits.dtype) for answer in answers), step_logits.mean(0)])
        loss = esd_loss(answers, target, self.tau, self.alpha, self.beta)
        return self.loss_weight * loss / len(step_logits)
