"""What all distillation losses share."""
import math
from typing import Optional, Tuple

from torch import Tensor, nn

from ..layers import time_mean


class DistillLoss(nn.Module):
    """A loss between one recorded tensor of the student and one of the teacher.

    Subclasses implement ``forward(student, teacher, target)`` and return the weighted scalar. If their ``__init__``
    takes ``student_channels`` and ``teacher_channels``, the distiller fills these in from a dry run.

    Args:
        student: Path of the student's module whose output is compared, such as ``'backbone.layer4'``; with the suffix
            ``:input`` its input.
        teacher: Likewise for the teacher.
        loss_weight: Factor of the loss, positive.

    Raises:
        ValueError: If ``loss_weight`` is not a positive number.
    """

    def __init__(self, student: str, teacher: str, loss_weight: float) -> None:
        super().__init__()
        if not (loss_weight > 0 and math.isfinite(loss_weight)):
            raise ValueError(f'{type(self).__name__}: loss_weight={loss_weight} must be a positive number; to switch '
                             'the loss off, drop its entry from model.losses.')
        self.student, self.teacher, self.loss_weight = student, teacher, loss_weight

    def forward(self, student: Tensor, teacher: Tensor, target: Optional[Tensor] = None) -> Tensor:
        """Weighted loss.

        Args:
            student: What the student's module returned, with time as the outermost axis: (T, B, ...).
            teacher: What the teacher's module returned: (B, ...), of a spiking teacher (T', B, ...). Both are marked so
                that :func:`bkdsnn.models.layers.time_mean` makes (B, ...) of them.
            target: Labels (B,) or soft labels (B, K).

        Returns:
            Scalar.
        """
        raise NotImplementedError

    def shape_error(self, student: Tensor, teacher: Tensor, reason: str) -> ValueError:
        """An error that names both features and their shapes."""
        return ValueError(f'{type(self).__name__}: student feature {self.student!r} has shape {tuple(student.shape)} '
                          f'but teacher feature {self.teacher!r} is {tuple(teacher.shape)}: {reason}')


class LogitsLoss(DistillLoss):
    """A loss between logits; adds the temperature and the check of the class counts.

    Args:
        tau: Temperature of the softmax, positive.
        student: Path of the student's logits (T, B, K) or (B, K).
        teacher: Path of the teacher's logits (B, K), or (T', B, K) of a spiking teacher.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, tau: float, student: str = 'head', teacher: str = 'head', loss_weight: float = 1.0) -> None:
        super().__init__(student, teacher, loss_weight)
        if not (tau > 0 and math.isfinite(tau)):
            raise ValueError(f'{type(self).__name__}: tau={tau} must be a positive number.')
        self.tau = tau

    def check_classes(self, student: Tensor, teacher: Tensor) -> None:
        """Raise ValueError if student and teacher do not have the same number of classes."""
        if student.shape[-1] != teacher.shape[-1]:
            raise self.shape_error(student, teacher, f'{student.shape[-1]} and {teacher.shape[-1]} classes differ. '
                                   'Use a teacher trained on the same classes.')

    def mean_logits(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        """Time means (B, K) of both; the teacher's without a gradient.

        Raises:
            ValueError: If they are no logits of the same samples and classes.
        """
        self.check_classes(student, teacher)
        means = time_mean(student), time_mean(teacher).detach()
        if any(mean.dim() != 2 for mean in means) or len(means[0]) != len(means[1]):
            raise self.shape_error(student, teacher, 'logits are (B, K), with time (T, B, K). Hook the classifier, not '
                                   'tokens before it; if the first axis of what the teacher gives is time, set '
                                   'model.teacher.has_time=True.')
        return means
