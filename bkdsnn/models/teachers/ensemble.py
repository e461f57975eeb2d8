"""Several frozen networks that teach together."""
from typing import Callable, Dict, Optional

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import full_precision, mark_time


class Average(nn.Module):
    """The mean of its arguments; a module, so that it can be recorded."""

    def forward(self, *logits: Tensor) -> Tensor:
        """Tensors of one shape to their mean."""
        return torch.stack([full_precision(x) for x in logits]).mean(0)


@MODELS.register_module()
class TeacherEnsemble(nn.Module):
    """Frozen teachers by name, each with preprocessing of its own.

    Their modules have paths such as ``'cnn.layer4'``, and the mean of their logits is the module ``'average'``; a pair
    names both in ``model.taps.teacher``. Of each batch, all teachers see the same view.

    Args:
        teachers: Name to config of a :class:`bkdsnn.models.teachers.FrozenTeacher`.
        expected_accuracy: Of the mean, in percent, see there.

    Raises:
        ValueError: If there are fewer than two, or a name is no part of a path.
    """

    def __init__(self, teachers: Dict[str, dict], expected_accuracy: Optional[float] = None) -> None:
        super().__init__()
        if len(teachers) < 2 or any('.' in name or name == 'average' for name in teachers):
            raise ValueError(f'TeacherEnsemble: teachers={list(teachers)} must be two or more, with names without dots '
                             "other than 'average'.")
        self.teachers = nn.ModuleDict({
            name: MODELS.build(cfg) if isinstance(cfg, dict) else cfg for name, cfg in teachers.items()})
        self.network = nn.Module()
        for name, teacher in self.teachers.items():
            self.network.add_module(name, teacher.network)
        self.network.average = Average()
        self.network.has_time = self.network.average.has_time = False
        self.expected_accuracy = expected_accuracy
        self.checkpoint = [teacher.checkpoint for teacher in self.teachers.values()]

    def adapt_to(self, preprocessor: nn.Module) -> None:
        """As of a single teacher, for all."""
        for teacher in self.teachers.values():
            teacher.adapt_to(preprocessor)

    def train(self, mode: bool = True) -> 'TeacherEnsemble':
        """Stay in eval mode, whatever ``mode`` says."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'TeacherEnsemble':
        """Move as each teacher does, which loses nothing; ``network`` has the same modules."""
        self.teachers._apply(fn, recurse)
        return self

    def __deepcopy__(self, memo: dict) -> 'TeacherEnsemble':
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Mean logits (B, K) for the student's input, or (B, ...) of another task.

        Raises:
            ValueError: If the teachers' shapes differ, as where they have different numbers of classes.
        """
        logits = {name: teacher(images) for name, teacher in self.teachers.items()}
        shapes = {name: tuple(x.shape) for name, x in logits.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f'TeacherEnsemble: the teachers\' logits differ in shape, {shapes}; their mean needs the '
                             'same classes.')
        return mark_time(self.network.average(*logits.values()), False)
