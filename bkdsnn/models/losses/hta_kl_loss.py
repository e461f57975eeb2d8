"""Head-tail aware KL divergence (HTA-KL, Zhang et al., 2025, arXiv 2504.20445)."""
from typing import Union

import torch
from torch import Tensor

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import soft_kl


def head_share(student_logits: Tensor, teacher_logits: Tensor, tau: float, head: float) -> Tensor:
    """Which part of the distance of two distributions lies in the teacher's head, for each sample: (B,), a constant.

    The head are the classes that the teacher is surest of and that together hold at most ``head`` of the probability,
    and always the first one. The distance is that of the probabilities; where there is none the share is a half.
    """
    teacher, order = (teacher_logits / tau).softmax(-1).detach().sort(-1, descending=True)
    gaps = (teacher - (student_logits / tau).softmax(-1).detach().gather(-1, order)).abs()
    in_head = teacher.cumsum(-1) <= head
    in_head[..., 0] = True
    total = gaps.sum(-1)
    return torch.where(total > 0, (gaps * in_head).sum(-1) / total.clamp(min=torch.finfo(total.dtype).tiny), 0.5)


def hta_kl_loss(student_logits: Tensor, teacher_logits: Tensor, tau: float, head: float = 0.5) -> Tensor:
    r"""Forward and reverse KL divergence, weighted by where the student errs, the mean over the batch.

    .. math:: \tau^2\,[\,w\,KL(p^A\Vert p) + (1-w)\,KL(p\Vert p^A)\,]

    with w of :func:`head_share`: the forward one fits the head best, the reverse one the tail.

    Args:
        student_logits: (B, K).
        teacher_logits: (B, K).
        tau: Temperature.
        head: Probability that the head holds.
    """
    teacher_logits = teacher_logits.detach()
    share = head_share(student_logits, teacher_logits, tau, head)
    forward = soft_kl(student_logits, teacher_logits, tau, reduction='none')
    reverse = soft_kl(teacher_logits, student_logits, tau, reduction='none')
    return tau**2 * (share * forward + (1 - share) * reverse).mean()


@MODELS.register_module()
class HTAKLLoss(LogitsLoss):
    """Head-tail aware KL divergence of the time-mean logits, see :func:`hta_kl_loss`, beside the task loss.

    No code of the authors' is public. Our reading of the paper's summary, after the adaptive KL divergence that it
    builds on (arXiv 2404.02657): the head holds half of the probability, the weights are constants, and
    :math:`\\tau^2` is there. The temperature and the weight are those of ``kd``, so that both differ in the divergence
    alone.

    Args:
        tau: Temperature.
        head: Probability that the teacher's head holds, between 0 and 1.
        **kwargs: As :class:`LogitsLoss`.

    Raises:
        ValueError: If ``head`` is out of range.
    """

    def __init__(self, tau: Union[float, dict] = 2.0, head: float = 0.5, **kwargs) -> None:
        super().__init__(tau, **kwargs)
        if not 0 < head < 1:
            raise ValueError(f'HTAKLLoss: head={head!r} must be between 0 and 1.')
        self.head = head

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K) or (B, K) of both."""
        return self.loss_weight * hta_kl_loss(*self.mean_logits(student, teacher), self.tau, self.head)
