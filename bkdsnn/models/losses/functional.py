"""What several methods compute of logits (..., K)."""
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import full_precision
from .schedule import is_number


def soft_kl(student_logits: Tensor, target_logits: Tensor, tau: float, reduction: str = 'batchmean') -> Tensor:
    """``KL(softmax(target / tau) || softmax(student / tau))``; the target gets a gradient, too.

    Args:
        student_logits: (..., K).
        target_logits: (..., K); both are broadcast.
        tau: Temperature.
        reduction: ``'batchmean'`` sums over the classes and averages over all else, ``'mean'`` averages over the
            classes, too, and is K times smaller, ``'none'`` gives the sums over the classes, shape (...).
    """
    student_logits, target_logits = torch.broadcast_tensors(full_precision(student_logits),
                                                            full_precision(target_logits))
    log_student = F.log_softmax(student_logits / tau, dim=-1)
    log_target = F.log_softmax(target_logits / tau, dim=-1)
    if reduction == 'none':
        return F.kl_div(log_student, log_target, reduction='none', log_target=True).sum(-1)
    kl = F.kl_div(log_student, log_target, reduction='sum', log_target=True)
    return kl / (log_student[..., 0] if reduction == 'batchmean' else log_student).numel()


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, tau: float, reduction: str = 'batchmean') -> Tensor:
    """``tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))``, the teacher without a gradient.

    Arguments as :func:`soft_kl`: of logits (B, K) it is the mean over the batch, of (T, B, K) over time, too.
    """
    return tau**2 * soft_kl(student_logits, teacher_logits.detach(), tau, reduction)


def stepwise_cross_entropy(step_logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over time of the cross-entropy of each step's logits (T, B, K) with labels (B,) or soft labels (B, K)."""
    target = target.to(step_logits.dtype) if target.is_floating_point() else target
    target = target.expand(len(step_logits), *target.shape).flatten(0, 1)
    return F.cross_entropy(step_logits.flatten(0, 1), target, label_smoothing=label_smoothing)


def sum_of_right(logits: Tensor, target: Tensor) -> Tuple[Tensor, Tensor]:
    """Of several answers to each sample, the sum of the logits of those that are right, and their number.

    Args:
        logits: (N, B, K), of N time steps or branches.
        target: Labels (B,).

    Returns:
        Logits (B, K), zero where none is right, and numbers (B,).
    """
    right = logits.argmax(-1) == check_labels(target)
    return (logits * right.unsqueeze(-1)).sum(0), right.sum(0)


def as_steps(logits: Tensor) -> Tensor:
    """Logits (T, B, K) in full precision.

    Raises:
        ValueError: If they have no time steps.
    """
    if logits.dim() != 3:
        raise ValueError(f'each time step counts, which takes logits (T, B, K), got {tuple(logits.shape)}.')
    return full_precision(logits)


def through(part: nn.Module, feature: Tensor) -> Tensor:
    """What a part of the teacher, in its own precision, makes of a feature."""
    dtype = next((parameter.dtype for parameter in part.parameters()), feature.dtype)
    return full_precision(part(feature.to(dtype)))


def check_labels(target: Tensor) -> Tensor:
    """The labels (B,).

    Raises:
        ValueError: If they are soft.
    """
    if target.dim() != 1 or target.is_floating_point():
        raise ValueError(f'the target must be labels (B,), got {tuple(target.shape)} {target.dtype}; soft labels, as '
                         'of mixup, have no right class.')
    return target


def check_weights(**weights: float) -> None:
    """Raise ValueError for a weight inside a loss that is no finite number of at least 0."""
    for name, weight in weights.items():
        if not is_number(weight) or weight < 0:
            raise ValueError(f'{name}={weight!r} must be a number of at least 0.')
