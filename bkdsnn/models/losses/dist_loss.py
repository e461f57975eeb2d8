"""Distillation from a stronger teacher (DIST, Huang et al., NeurIPS 2022, arXiv 2205.10536)."""
from typing import Union

from torch import Tensor

from bkdsnn.registry import MODELS

from ..layers import full_precision
from .base import LogitsLoss
from .schedule import Scheduled

EPS = 1e-8


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of each row of ``a`` and ``b`` (N, M): (N,); 0 where a row is constant."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + EPS)


def dist_loss(student_logits: Tensor, teacher_logits: Tensor, beta: float, gamma: float, tau: float) -> Tensor:
    r"""Correlations instead of a divergence: over the classes of a sample, and over the samples of a class.

    .. math:: \tau^2\big[\beta\,(1-\mathrm{mean}_b\,\rho(p_{b\cdot}, p^A_{b\cdot}))
              + \gamma\,(1-\mathrm{mean}_k\,\rho(p_{\cdot k}, p^A_{\cdot k}))\big],\quad
              p=\mathrm{softmax}(z/\tau)

    Args:
        student_logits: (B, K).
        teacher_logits: (B, K).
        beta: Weight of the first term (inter-class).
        gamma: Weight of the second term (intra-class). With one sample it is :math:`\tau^2\gamma` without a gradient.
        tau: Temperature.

    Returns:
        Scalar.
    """
    student, teacher = ((full_precision(z) / tau).softmax(1) for z in (student_logits, teacher_logits))
    inter, intra = correlation(student, teacher).mean(), correlation(student.mT, teacher.mT).mean()
    return tau**2 * (beta * (1 - inter) + gamma * (1 - intra))


@MODELS.register_module()
class DISTLoss(LogitsLoss):
    """DIST on the time-mean logits, see :func:`dist_loss`.

    As in hunto/image_classification_sota @ 6f7a70a1, whose defaults for ImageNet these are; on CIFAR ``tau=4``. The
    weight is 2 there. Of a silent student, which answers alike whatever the class or the sample, the correlations are
    0, and only the authors' 1e-8 in the denominator bounds the gradient: clip gradients.

    Args:
        tau: Temperature.
        beta: Weight of the classes' term, or a schedule; may be 0.
        gamma: Weight of the samples' term; likewise.
        **kwargs: As :class:`LogitsLoss`.
    """

    beta, gamma = Scheduled(may_be_zero=True), Scheduled(may_be_zero=True)

    def __init__(self, tau: Union[float, dict] = 1.0, beta: Union[float, dict] = 1.0, gamma: Union[float, dict] = 1.0,
                 **kwargs) -> None:
        super().__init__(tau, **kwargs)
        self.beta, self.gamma = beta, gamma

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted loss from logits (T, B, K) or (B, K) of both."""
        return self.loss_weight * dist_loss(*self.mean_logits(student, teacher), self.beta, self.gamma, self.tau)
