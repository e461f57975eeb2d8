"""The divergence of softened logits, which many methods are made of."""
from torch import Tensor
from torch.nn import functional as F

from ..layers import full_precision


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, tau: float) -> Tensor:
    """``tau^2 * KL(softmax(teacher / tau) || softmax(student / tau))``, the mean over the batch; logits (B, K)."""
    log_student = F.log_softmax(full_precision(student_logits) / tau, dim=-1)
    log_teacher = F.log_softmax(full_precision(teacher_logits) / tau, dim=-1)
    return tau**2 * F.kl_div(log_student, log_teacher, reduction='batchmean', log_target=True)
