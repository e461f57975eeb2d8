"""Selective alignment (SeAl-KD, Sun et al., 2026, arXiv 2605.14252)."""
import math
from typing import Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional as F

from bkdsnn.registry import MODELS

from .base import LogitsLoss
from .functional import check_labels, check_weights, kd_loss


def align_errors(step_logits: Tensor, teacher_logits: Tensor, target: Tensor) -> Tuple[Tensor, Tensor]:
    """Both sides' logits (T, B, K) where a step errs, answering w instead of y; elsewhere they stay as they are.

    The student's logit of w becomes that of y, which gets the gradient of both; the teacher's of w and y both become
    the smaller of the two, for each step anew.
    """
    wrong = step_logits.argmax(-1, keepdim=True)
    right = check_labels(target).view(1, -1, 1).expand_as(wrong)
    student = step_logits.scatter(-1, wrong, step_logits.gather(-1, right))
    teacher = teacher_logits.expand_as(step_logits)
    smaller = torch.minimum(teacher.gather(-1, wrong), teacher.gather(-1, right))
    return student, teacher.scatter(-1, wrong, smaller).scatter(-1, right, smaller)


def temporal_targets(step_logits: Tensor) -> Tensor:
    """For each of T > 1 steps (T, B, K) a mean of the others: the surer and the more alike, the more it weighs.

    Their weights are the softmax of cosine times confidence, 1 less the entropy in units of its largest value.
    """
    probabilities = step_logits.softmax(-1)
    entropy = -(probabilities * (probabilities + 1e-8).log()).sum(-1)
    confidence = 1 - entropy / math.log(step_logits.shape[-1])
    scores = confidence * F.cosine_similarity(step_logits.unsqueeze(1), step_logits.unsqueeze(0), dim=-1)
    itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device).unsqueeze(-1)
    weights = scores.masked_fill(itself, -math.inf).softmax(1)
    # A product and a sum, which autocast leaves in full precision.
    return (weights.unsqueeze(-1) * step_logits).sum(1)


@MODELS.register_module()
class SeAlLoss(LogitsLoss):
    r"""Selective alignment; with :class:`StepwiseCELoss` in place of the task loss.

    .. math:: \alpha\,\tfrac1T\sum_t KL_\tau(z^{A\prime}_t, z'_t) + \beta\,\tfrac1T\sum_t KL_\tau(z^{others}_t, z_t)

    with both sides of the first term from :func:`align_errors` and the constant target of the second from
    :func:`temporal_targets`; of a single time step the second is 0.

    Defaults are those of the authors' commands (KaiSUN1/SeAl at b30ead6); their ImageNet and event scripts would
    otherwise take 1 and 1. Margin, contrastive and adapter losses of their files are never called.

    Args:
        tau: Temperature.
        alpha: Weight of the first term, ELA.
        beta: Weight of the second term, STA.
        **kwargs: As :class:`LogitsLoss`.
    """

    needs_labels = True

    def __init__(self, tau: Union[float, dict] = 3.0, alpha: float = 0.6, beta: float = 0.15, **kwargs) -> None:
        super().__init__(tau, **kwargs)
        check_weights(alpha=alpha, beta=beta)
        self.alpha, self.beta = alpha, beta

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
        """Weighted loss of logits (T, B, K), the teacher's (B, K) and labels (B,)."""
        step_logits, teacher_logits = self.step_logits(student, teacher)
        loss = self.alpha * kd_loss(*align_errors(step_logits, teacher_logits, target), self.tau)
        if len(step_logits) > 1:
            loss = loss + self.beta * kd_loss(step_logits, temporal_targets(step_logits), self.tau)
        return self.loss_weight * loss
