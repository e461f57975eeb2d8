"""What all distillation losses share."""
from inspect import signature
from typing import Dict, List, Tuple, Union

from torch import Tensor, nn

from ..layers import full_precision, time_mean
from .schedule import Schedule, Scheduled

# Names of taps or module paths, as a loss wants them: one, several, or several with names of its own.
Taps = Union[str, List[str], Dict[str, str]]


class DistillLoss(nn.Module):
    """A loss on what is recorded of a student and, where it asks for one, of a teacher.

    A subclass says what it needs by the arguments of its ``forward``, which returns the weighted scalar. There are:

    - ``student``, ``teacher``: what ``student=`` and ``teacher=`` of its config name, with time as the outermost axis:
      a tensor, or a list or dict of them. Both are marked so that :func:`bkdsnn.models.layers.time_mean` makes
      (B, ...) of them. The teacher's have no gradient. Without ``teacher`` it needs no teacher.
    - ``target``: labels (B,) or soft labels (B, K), or what else the task's samples hold.
    - ``data_samples``: the samples themselves.
    - ``progress``: how far training is, from 0 to 1.
    - ``teacher_part``: the module that ``teacher_part=`` names in the teacher, such as its classifier, frozen.

    If its ``__init__`` takes ``student_channels``, ``teacher_channels``, ``student_shape`` or ``teacher_shape`` (of one
    sample, with the axes of time and batch), the distiller fills these in from a dry run.

    Where it has layers of its own, its config may have ``lr_mult``, their learning rate as a factor of the optimizer's.

    Args:
        student: Tap or module path of the student, such as ``'feature'`` or ``'backbone.layer4'``; with the suffix
            ``:input`` a module's input. A list or dict of them where the loss takes several.
        teacher: Likewise of the teacher.
        loss_weight: Factor of the loss, positive, or a schedule, ``dict(points=[(0, 1.0), (1, 0.1)])``; see
            :class:`bkdsnn.models.losses.Schedule`.

    Raises:
        ValueError: If ``loss_weight`` is not positive.
    """

    loss_weight = Scheduled(may_vanish=True, hint=' To switch the loss off, drop its entry from model.losses.')
    #: Tap of both networks where neither its config nor its arguments name one.
    default_tap = 'logits'
    #: Whether the targets must be labels and not the soft ones of mixup, cutmix or label smoothing.
    needs_labels = False
    #: Progress of training, and that of its first step in this epoch.
    progress = epoch_progress = 0.0

    def __init__(self, student: Taps = 'logits', teacher: Taps = 'logits',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__()
        self.student, self.teacher, self.loss_weight = student, teacher, loss_weight

    @property
    def changes(self) -> bool:
        """Whether it depends on how far training is."""
        return 'progress' in signature(self.forward).parameters or any(
            isinstance(value, Schedule) for value in vars(self).values())

    def progress_of(self, by_epoch: bool) -> float:
        """How far training is, from 0 to 1, in steps or in whole epochs."""
        return self.epoch_progress if by_epoch else self.progress

    def forward(self, **needs) -> Tensor:
        """Weighted loss, a scalar; see the class for what its arguments may be."""
        raise NotImplementedError

    def shape_error(self, student: Tensor, teacher: Tensor, reason: str) -> ValueError:
        """An error that names both features and their shapes."""
        return ValueError(f'{type(self).__name__}: student feature {self.student!r} has shape {tuple(student.shape)} '
                          f'but teacher feature {self.teacher!r} is {tuple(teacher.shape)}: {reason}')


class LogitsLoss(DistillLoss):
    """A loss between logits; adds the temperature, their standardisation and the check of the class counts.

    Args:
        tau: Temperature of the softmax, positive, or a schedule.
        student: Tap or path of the student's logits (T, B, K) or (B, K).
        teacher: Tap or path of the teacher's logits (B, K), or (T', B, K) of a spiking teacher.
        loss_weight: Factor of the loss.
        standardise: Whether both sides' logits are standardised over the classes first (Sun et al., CVPR 2024, arXiv
            2403.01427), so that only their shape is compared.

    Raises:
        ValueError: If an argument is out of range.
    """

    tau = Scheduled()

    def __init__(self, tau: Union[float, dict], student: str = 'logits', teacher: str = 'logits',
                 loss_weight: Union[float, dict] = 1.0, standardise: bool = False) -> None:
        super().__init__(student, teacher, loss_weight)
        self.tau, self.standardise = tau, standardise

    def check_classes(self, student: Tensor, teacher: Tensor) -> None:
        """Raise ValueError if student and teacher do not have the same number of classes."""
        if student.shape[-1] != teacher.shape[-1]:
            raise self.shape_error(student, teacher, f'{student.shape[-1]} and {teacher.shape[-1]} classes differ. '
                                   'Use a teacher trained on the same classes.')

    def mean_logits(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        """Time means (B, K) of both, standardised where that is asked for; the teacher's without a gradient.

        Raises:
            ValueError: If they are no logits of the same samples and classes.
        """
        self.check_logits(student, teacher)
        return self.prepare(time_mean(student)), self.prepare(time_mean(teacher).detach())

    def step_logits(self, student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
        """Logits (T, B, K) of each of the student's steps, and the teacher's mean (B, K), as in :meth:`mean_logits`.

        Raises:
            ValueError: If they are no logits of the same samples and classes, or the student's have no time.
        """
        self.check_logits(student, teacher)
        if student.dim() != 3:
            raise self.shape_error(student, teacher, 'each time step is compared, which takes logits (T, B, K).')
        return self.prepare(student), self.prepare(time_mean(teacher).detach())

    def prepare(self, logits: Tensor) -> Tensor:
        """Logits in full precision, standardised where that is asked for."""
        logits = full_precision(logits)
        return standardised(logits) if self.standardise else logits

    def check_logits(self, student: Tensor, teacher: Tensor) -> None:
        """Raise ValueError if they are no logits of the same samples and classes."""
        self.check_classes(student, teacher)
        means = time_mean(student), time_mean(teacher)
        if any(mean.dim() != 2 for mean in means) or len(means[0]) != len(means[1]):
            raise self.shape_error(student, teacher, 'logits are (B, K), with time (T, B, K). Hook the classifier, not '
                                   'tokens before it; if the first axis of what the teacher gives is time, set '
                                   'model.teacher.has_time=True.')


def standardised(logits: Tensor) -> Tensor:
    """Logits (..., K) less their mean over the classes and divided by their unbiased deviation plus 1e-7."""
    return (logits - logits.mean(-1, keepdim=True)) / (1e-7 + logits.std(-1, keepdim=True))
