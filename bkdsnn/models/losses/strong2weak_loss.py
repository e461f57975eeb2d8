"""Strong and weak time steps teach each other (Ding et al., NeurIPS 2025, arXiv 2510.07924)."""
from typing import Union

import torch
from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .functional import as_steps, soft_kl
from .schedule import Scheduled


def confidences(step_logits: Tensor) -> Tensor:
    """How sure each step is: the batch mean of the largest probability, shape (T,); a constant."""
    return step_logits.detach().softmax(-1).amax(-1).mean(-1)


def step_pairs(step_logits: Tensor, cascade: bool) -> Tensor:
    """Indices (2, N) of stronger and weaker steps: the surest and the least sure of the batch, or all neighbours."""
    order = confidences(step_logits).argsort(descending=True)
    return torch.stack([order[:-1], order[1:]] if cascade else [order[:1], order[-1:]])


@MODELS.register_module()
class Strong2WeakLoss(DistillLoss):
    r"""The time step that is surest teaches the one that is least sure, or the reverse, beside the task loss.

    .. math:: KL(\mathrm{softmax}(z_s/\tau) \Vert \mathrm{softmax}(z_w/\tau))

    with one pair for the batch, chosen by the batch mean of the largest probability; of a single step it is 0. With
    ``cascade`` it is the mean over neighbours in the order of confidence. No teacher and no labels are needed.

    No code of the authors' is public; this is the paper's algorithms 1 and 2 with one reading. They do not detach the
    teaching step, so that either direction would move both; a constant target is the default here, ``detach=False``
    the letter. They have no factor :math:`\tau^2` and do not name the reduction: there is none by default, as the
    weight of 1 belongs to the formula as printed, and it is the batch mean.

    Args:
        direction: ``'strong_to_weak'`` or ``'weak_to_strong'``.
        cascade: Whether all neighbours in the order of confidence are pairs.
        tau: Temperature.
        detach: Whether the teaching step's logits are constant.
        tau_squared: Whether the loss is multiplied by :math:`\tau^2`.
        reduction: ``'batchmean'``, or ``'mean'``, which is K times smaller.
        student: Tap or path of the student's logits (T, B, K).
        loss_weight: Factor, or a schedule; 0.01 in the paper for QKFormer.

    Raises:
        ValueError: If an argument is unknown.
    """

    tau = Scheduled()

    def __init__(self, direction: str = 'strong_to_weak', cascade: bool = False, tau: Union[float, dict] = 2.0,
                 detach: bool = True, tau_squared: bool = False, reduction: str = 'batchmean',
                 student: str = 'logits', loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, loss_weight=loss_weight)
        for name, value, known in (('direction', direction, ('strong_to_weak', 'weak_to_strong')),
                                   ('reduction', reduction, ('batchmean', 'mean'))):
            if value not in known:
                raise ValueError(f'Strong2WeakLoss: {name}={value!r} is unknown; choose from {known}.')
        self.direction, self.cascade, self.tau = direction, cascade, tau
        self.detach, self.tau_squared, self.reduction = detach, tau_squared, reduction

    def forward(self, student: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K)."""
        step_logits = as_steps(student)
        teaching, learning = step_pairs(step_logits, self.cascade and len(step_logits) > 1)
        if self.direction == 'weak_to_strong':
            teaching, learning = learning, teaching
        target = step_logits[teaching].detach() if self.detach else step_logits[teaching]
        loss = soft_kl(step_logits[learning], target, self.tau, self.reduction)
        return self.loss_weight * (self.tau**2 if self.tau_squared else 1.0) * loss
