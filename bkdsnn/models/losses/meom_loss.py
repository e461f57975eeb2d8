"""Temporal multi-perspective and progressive distillation ("Many Eyes, One Mind", MEOM, Sun et al., ICLR 2026)."""
from typing import Optional, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import over_time, time_mean, uniform_per_sample
from .base import LogitsLoss
from .functional import as_steps, check_weights, kd_loss, through


def progressive_loss(step_logits: Tensor, tau: float) -> Tensor:
    r"""What is predicted after t steps shall be what is predicted after t + 1.

    .. math:: \tau^2\,\tfrac1{T-1}\sum_{t<T} CE(\mathrm{softmax}(\bar z_{\le t+1}/\tau), \bar z_{\le t}/\tau)

    with the later one constant; 0 for a single step.

    Args:
        step_logits: (T, B, K).
        tau: Temperature.
    """
    counts = torch.arange(1, len(step_logits) + 1, device=step_logits.device).view(-1, 1, 1)
    means = step_logits.cumsum(0) / counts / tau
    if len(means) == 1:
        return 0 * means.sum()
    earlier, later = means[:-1].flatten(0, 1), means[1:].detach().softmax(-1).flatten(0, 1)
    return tau**2 * F.cross_entropy(earlier, later)


@MODELS.register_module()
class MEOMLoss(LogitsLoss):
    r"""A view of the teacher for each time step; with :class:`StepwiseCELoss` in place of the task loss.

    .. math:: \beta\,\tfrac1T\sum_t KL_\tau(\hat z^A_t, z_t) + \gamma\,L_\mathrm{progressive}, \quad
              \hat z^A_t = (1-\lambda)\,z^A + \lambda\,c^A(f^A\odot m_t)

    with :math:`f^A` what the teacher's classifier :math:`c^A` takes, and :func:`progressive_loss`.

    Code of the authors' could not be had. From accounts of the paper: the formula and weights, and that masks are
    random. Our reading: a mask zeroes channels, the same before and after the mean over space, of each sample and step
    anew in training (none in eval mode); its ratio and :math:`\lambda`; and the temperature with its square, both as in
    TWD, which it builds on.

    Args:
        tau: Temperature.
        beta: Weight of the first term.
        gamma: Weight of the second.
        mix: :math:`\lambda`, from 0 to 1.
        mask_ratio: Probability that a channel is zeroed, in [0, 1).
        student: Tap or path of the student's logits (T, B, K).
        teacher: Tap or path of the classifier's input.
        teacher_part: Tap or path of the classifier, a function of (B, C).
        loss_weight: Factor, or a schedule.
        standardise: As :class:`LogitsLoss`, of both sides of the first term.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, tau: Union[float, dict] = 3.0, beta: float = 0.5, gamma: float = 0.3, mix: float = 0.5,
                 mask_ratio: float = 0.1, student: str = 'logits', teacher: str = 'classifier:input',
                 teacher_part: str = 'classifier', loss_weight: Union[float, dict] = 1.0,
                 standardise: bool = False) -> None:
        super().__init__(tau, student, teacher, loss_weight, standardise)
        check_weights(beta=beta, gamma=gamma)
        if not (0 <= mix <= 1 and 0 <= mask_ratio < 1):
            raise ValueError(f'MEOMLoss: mix={mix!r} must be in [0, 1], and mask_ratio={mask_ratio!r} in [0, 1).')
        self.beta, self.gamma, self.mix, self.mask_ratio = beta, gamma, mix, mask_ratio

    def forward(self, student: Tensor, teacher: Tensor, teacher_part: nn.Module, mask: Optional[Tensor] = None
                ) -> Tensor:
        """Weighted loss of logits (T, B, K), the classifier's input (B, C) and the classifier.

        ``mask`` (T, B, C) replaces the random one.
        """
        step_logits, teacher = as_steps(student), time_mean(teacher).detach()
        if mask is None and self.training:
            uniform = uniform_per_sample(len(teacher), len(student), teacher.shape[-1], device=teacher.device)
            mask = (uniform >= self.mask_ratio).transpose(0, 1)
        with torch.no_grad():
            views = through(teacher_part, teacher)
            self.check_logits(student, views)
            if mask is not None:
                masked = over_time(lambda x: through(teacher_part, x), teacher * mask)
                views = torch.lerp(views.expand_as(masked), masked, self.mix)
        perspectives = kd_loss(self.prepare(step_logits), self.prepare(views), self.tau)
        return self.loss_weight * (self.beta * perspectives + self.gamma * progressive_loss(step_logits, self.tau))
