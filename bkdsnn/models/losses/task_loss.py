"""The student's own loss among the others."""
from typing import Dict, Optional, Tuple

from torch import Tensor

from .base import DistillLoss

TASK_LOSS = 'loss_cls'


class TaskLoss(DistillLoss):
    """A factor for the loss of the student's head. Arguments as :class:`DistillLoss`; only the weight counts."""

    def forward(self, own: Tensor) -> Tensor:
        """The weighted loss; ``own`` is the head's."""
        weight = self.loss_weight
        return own if weight == 1 else own * weight


def split_task_loss(losses: Dict[str, Optional[dict]]) -> Tuple[Optional[TaskLoss], Dict[str, dict]]:
    """The student's own loss, and the configs of the others.

    Args:
        losses: Log keys to configs, ``model.losses``.

    Returns:
        The own loss, ``None`` where it is replaced or dropped; and the others without those that are dropped.

    Raises:
        ValueError: If a key cannot be logged, or nothing is left.
    """
    kept = {name: cfg for name, cfg in losses.items() if cfg is not None}
    for name in kept:
        if 'loss' not in name or '.' in name or name == 'loss':
            raise ValueError(f'model.losses: rename {name!r}; a key must contain "loss", since only those are summed, '
                             'and no dot, and "loss" is the total.')
    own = kept.get(TASK_LOSS, {})
    if 'type' not in own:
        kept.pop(TASK_LOSS, None)
        unknown = own.keys() - {'loss_weight'}
        if unknown:
            raise ValueError(f'model.losses.{TASK_LOSS}.{min(unknown)}: the student\'s own loss takes a loss_weight '
                             'alone; name a type to replace it.')
    if not kept:
        raise ValueError('model.losses is empty; to train without distillation, use the student as the model.')
    is_own = 'type' not in own and not (TASK_LOSS in losses and losses[TASK_LOSS] is None)
    try:
        return TaskLoss(**own) if is_own else None, kept
    except ValueError as error:
        raise ValueError(f'model.losses.{TASK_LOSS}: {error}') from error
