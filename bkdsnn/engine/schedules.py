"""Learning rates over time."""
import math
from typing import List

from mmengine.optim import _ParamScheduler

from bkdsnn.registry import PARAM_SCHEDULERS

INF = 10**9  # mmengine's "never"


def warmup_cosine(t: int, peak: float, T_max: int, warmup: int, warmup_lr: float, eta_min: float) -> float:
    """Learning rate of epoch ``t``, counted from 0.

    A line from ``warmup_lr`` to ``peak`` for ``warmup`` epochs, then the half cosine from ``peak`` to ``eta_min`` that
    began at epoch 0 and ends at ``T_max``, then ``eta_min``.
    """
    if t < warmup:
        return warmup_lr + t * (peak - warmup_lr) / warmup
    if t < T_max:
        return eta_min + (peak - eta_min) * (1 + math.cos(math.pi * t / T_max)) / 2
    return eta_min


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """The schedule of timm's ``CosineLRScheduler``, with which the authors train: the warm-up lies inside the cosine.

    No sequence of mmengine's schedulers gives it: a cosine that begins after the warm-up lies above, and one under the
    warm-up multiplies it. See :func:`warmup_cosine`; epochs after ``T_max`` are timm's cooldown. It sets the rate and
    does not multiply it, so it is to be the only schedule.

    Args:
        optimizer: Optimizer or its wrapper; its learning rates are the peaks.
        T_max: Epochs of the cosine, warm-up included.
        warmup: Epochs of warm-up.
        warmup_lr: Rate of the first epoch, where there is a warm-up.
        eta_min: Rate at the cosine's end.
        **kwargs: As mmengine's: ``begin``, ``end``, ``by_epoch`` (``False`` counts steps), ``last_step``, ``verbose``.

    Raises:
        ValueError: If ``warmup`` is not between 0 and ``T_max``.
    """

    def __init__(self,
                 optimizer,
                 T_max: int,
                 warmup: int = 0,
                 warmup_lr: float = 0.0,
                 eta_min: float = 0.0,
                 **kwargs) -> None:
        if not 0 <= warmup < T_max:
            raise ValueError(f'WarmupCosineLR: warmup={warmup} must be at least 0 and below T_max={T_max} '
                             '(param_scheduler).')
        self.T_max, self.warmup, self.warmup_lr, self.eta_min = T_max, warmup, warmup_lr, eta_min
        super().__init__(optimizer, 'lr', **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args, T_max: int, epoch_length: int, warmup: int = 0, begin: int = 0,
                              end: int = INF, by_epoch: bool = True, **kwargs) -> 'WarmupCosineLR':
        """What mmengine calls for ``convert_to_iter_based=True``: the same curve, with a rate for each step."""
        end = end * epoch_length if end < INF else INF
        return cls(*args, T_max=T_max * epoch_length, warmup=warmup * epoch_length, begin=begin * epoch_length, end=end,
                   by_epoch=False, **kwargs)

    def _get_value(self) -> List[float]:
        return [warmup_cosine(self.last_step, peak, self.T_max, self.warmup, self.warmup_lr, self.eta_min)
                for peak in self.base_values]
