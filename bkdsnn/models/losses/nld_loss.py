"""Noise-smoothed logits distillation (NLD of CKDSNN, Liu et al., AAAI 2026, arXiv 2511.06902)."""
import math
from typing import Optional, Union

import torch
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from ..layers import normal_per_sample
from .base import LogitsLoss

MIXTURES = ('probabilities', 'logits')


def nld_loss(student_logits: Tensor, teacher_logits: Tensor, noise: Tensor, tau: float, share: float = 0.1,
             mixture: str = 'probabilities') -> Tensor:
    r"""Logits distillation of a student that noise makes smoother.

    .. math:: \tau^2 KL(\mathrm{softmax}(z^A/\tau)\Vert p), \quad
              p = (1-\lambda)\,\mathrm{softmax}(\bar z/\tau) + \lambda\,\mathrm{softmax}(g/\tau)

    with g the mean of the sample's logits plus noise times their variance; or, with ``mixture='logits'``,
    :math:`p = \mathrm{softmax}((\bar z+\lambda g)/\tau)` with g the mean plus noise times the standard deviation.

    Args:
        student_logits: (B, K).
        teacher_logits: (B, K).
        noise: Standard normal numbers (B, K).
        tau: Temperature.
        share: :math:`\lambda`.
        mixture: ``'probabilities'`` or ``'logits'``.
    """
    mean = student_logits.mean(-1, keepdim=True)
    if mixture == 'logits':
        noisy = mean + noise * student_logits.std(-1, keepdim=True)
        log_student = F.log_softmax((student_logits + share * noisy) / tau, dim=-1)
    else:
        noisy = mean + noise * student_logits.var(-1, keepdim=True)
        # Constants of Python, as a tensor of them would be copied to the device in every step.
        parts = [F.log_softmax(logits / tau, dim=-1) + (math.log(weight) if weight else -math.inf)
                 for logits, weight in ((student_logits, 1 - share), (noisy, share))]
        log_student = torch.stack(parts, dim=-1).logsumexp(-1)
    log_teacher = F.log_softmax(teacher_logits.detach() / tau, dim=-1)
    return tau**2 * F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)


@MODELS.register_module()
class NLDLoss(LogitsLoss):
    r"""Noise-smoothed distillation of the time-mean logits, see :func:`nld_loss`, beside the task loss.

    The authors' code (SinoLeu/CKDSNN at 13c9f7b) mixes probabilities and takes the variance for the deviation, which is
    the default, as their figures come from it; their paper mixes logits, ``mixture='logits'``. Gradients flow through
    mean and variance. The noise is drawn anew in each step, and is zero in eval mode.

    Args:
        tau: Temperature.
        share: :math:`\lambda`, how much of the mixture is noise, from 0 to below 1.
        mixture: ``'probabilities'`` or ``'logits'``.
        **kwargs: As :class:`LogitsLoss`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, tau: Union[float, dict] = 2.0, share: float = 0.1, mixture: str = 'probabilities', **kwargs
                 ) -> None:
        super().__init__(tau, **kwargs)
        if not 0 <= share < 1 or mixture not in MIXTURES:
            raise ValueError(f'NLDLoss: share={share!r} must be in [0, 1) and mixture={mixture!r} one of {MIXTURES}.')
        self.share, self.mixture = share, mixture

    def forward(self, student: Tensor, teacher: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """Weighted loss of logits (T, B, K) or (B, K) of both; ``noise`` (B, K) replaces the random one."""
        student, teacher = self.mean_logits(student, teacher)
        if noise is None:
            draw = normal_per_sample if self.training else torch.zeros
            noise = draw(*student.shape, device=student.device)
        return self.loss_weight * nld_loss(student, teacher, noise.to(student.dtype), self.tau, self.share,
                                           self.mixture)
