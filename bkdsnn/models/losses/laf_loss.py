"""Alignment of features through the teacher's classifier (LAF of EnOF-SNN, Guo et al., NeurIPS 2024)."""
from typing import Union

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import time_mean
from .base import LogitsLoss
from .functional import kd_loss, through


@MODELS.register_module()
class LAFLoss(LogitsLoss):
    r"""The teacher's classifier shall answer alike for the student's feature and its own, beside the task loss.

    .. math:: KL_\tau\big(c^A(f^A),\, c^A(\mathrm{align}(\bar f^S))\big)

    with :math:`\bar f^S` the mean over time and space, and a linear layer where the classifier takes another width; the
    authors' networks are alike and need none. Gradients go through the classifier, which does not learn.

    No code of the authors' is public. Our reading of the abstract: the mean over time, and temperature and weight as
    those of ``kd``, so that both differ in the way alone. Their second part, a ReLU in place of the last neuron, is not
    a loss.

    Args:
        student_channels: Channels of the student's map; the distiller fills it in.
        teacher_channels: Likewise what the classifier takes.
        tau: Temperature.
        student: Tap or path of the student's map (T, B, C, H, W).
        teacher: Tap or path of the classifier's input.
        teacher_part: Tap or path of the classifier, a function of (B, C').
        loss_weight: Factor, or a schedule.
        standardise: As :class:`LogitsLoss`, of both answers.
    """

    def __init__(self, student_channels: int, teacher_channels: int, tau: Union[float, dict] = 2.0,
                 student: str = 'feature', teacher: str = 'classifier:input', teacher_part: str = 'classifier',
                 loss_weight: Union[float, dict] = 1.0, standardise: bool = False) -> None:
        super().__init__(tau, student, teacher, loss_weight, standardise)
        self.align = nn.Identity()
        if student_channels != teacher_channels:
            self.align = nn.Linear(student_channels, teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor, teacher_part: nn.Module) -> Tensor:
        """Weighted loss of a map (T, B, C, H, W), the classifier's input (B, C') and the classifier."""
        mean = time_mean(student)
        if mean.dim() != 4:
            raise self.shape_error(student, teacher, 'LAFLoss takes a student map (T, B, C, H, W).')
        with torch.no_grad():
            theirs = self.prepare(through(teacher_part, time_mean(teacher)))
        own = self.prepare(through(teacher_part, self.align(mean.mean((-2, -1)))))
        return self.loss_weight * kd_loss(own, theirs, self.tau)
