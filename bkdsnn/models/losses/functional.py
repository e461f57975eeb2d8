"""What several methods compute of logits (..., K)."""
from torch import Tensor
from torch.nn import functional as F

from ..layers import full_precision


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, tau: float, reduction: str = 'batchmean') -> Tensor:
    """``tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))`` of logits (B, K).

    ``reduction='batchmean'`` averages over the batch, ``'mean'`` over the classes, too, which is K times smaller.
    """
    log_student = F.log_softmax(full_precision(student_logits) / tau, dim=-1)
    log_teacher = F.log_softmax(full_precision(teacher_logits) / tau, dim=-1)
    loss = tau**2 * F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
    return loss / student_logits.shape[-1] if reduction == 'mean' else loss


def check_labels(target: Tensor) -> Tensor:
    """The labels (B,).

    Raises:
        ValueError: If they are soft.
    """
    if target.dim() != 1 or target.is_floating_point():
        raise ValueError(f'the target must be labels (B,), got {tuple(target.shape)} {target.dtype}; soft labels, as '
                         'of mixup, have no right class.')
    return target
