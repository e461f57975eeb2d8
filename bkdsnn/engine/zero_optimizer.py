"""PyTorch's optimizer with its state shared out among the processes, saved and resumed by mmengine's runner."""
from contextlib import contextmanager
from typing import Iterable, Optional

import torch
from mmengine.optim import BaseOptimWrapper, OptimWrapperDict
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer as TorchZeroRedundancyOptimizer
from torch.optim import Optimizer

from bkdsnn.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ZeroRedundancyOptimizer(TorchZeroRedundancyOptimizer):
    """mmengine's optimizer of that name, in whose place it is: each process holds the state of a part of the weights.

    Each updates its part and sends it to the others (ZeRO's first stage, Rajbhandari et al., 2020). mmengine's collects
    the parts while the first process alone saves, and waits for the others for ever. This one's are collected before,
    by :func:`collect_state`.

    Args:
        params: Parameters, or groups of them.
        optimizer_type: Name of the optimizer in ``torch.optim``.
        **kwargs: Of that optimizer, or of PyTorch's class.

    Raises:
        ValueError: If PyTorch has no such optimizer.
    """

    _shows_own_part = False

    def __init__(self, params: Iterable[nn.Parameter], optimizer_type: str, **kwargs) -> None:
        optimizer = getattr(torch.optim, optimizer_type, None)
        if not (isinstance(optimizer, type) and issubclass(optimizer, Optimizer)):
            raise ValueError(f'{type(self).__name__}: torch.optim has no optimizer_type={optimizer_type!r}.')
        super().__init__(list(params), optimizer_class=optimizer, **kwargs)

    def state_dict(self) -> dict:
        """All of the state, in the first process, after :func:`collect_state`."""
        return Optimizer.state_dict(self) if self._shows_own_part else super().state_dict()

    @contextmanager
    def own_part(self):
        """Inside the block :meth:`state_dict` gives the settings, and of the state what is here."""
        self._shows_own_part = True
        try:
            yield
        finally:
            self._shows_own_part = False


def collect_state(wrapper: Optional[BaseOptimWrapper]) -> None:
    """Give the first process all of the state, for a checkpoint; all processes call this.

    Args:
        wrapper: The run's; ``None`` where it only validates.
    """
    wrappers = wrapper.optim_wrappers.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    for optimizer in (getattr(one, 'optimizer', None) for one in wrappers):
        if isinstance(optimizer, ZeroRedundancyOptimizer):
            optimizer.consolidate_state_dict()
