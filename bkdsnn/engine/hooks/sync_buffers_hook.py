"""Buffers, such as the running statistics of batch norms, that are the same on all processes."""
from typing import Iterable, List

import torch
from mmengine.dist import all_reduce_params, broadcast, is_distributed
from mmengine.hooks import EMAHook
from mmengine.hooks import SyncBuffersHook as MMEngineSyncBuffersHook
from mmengine.runner import Runner
from torch import Tensor, nn

from bkdsnn.registry import HOOKS

from .before_use_hook import BeforeUseHook


@torch.no_grad()
def average_buffers(buffers: Iterable[Tensor]) -> None:
    """Set buffers to their mean over all processes; those of whole numbers and truth values become the first process's.

    What is the same on all processes stays as it is, to the bit: added up and divided by three, a constant would not.

    Args:
        buffers: Of this process, in the same order on all; changed in place.
    """
    buffers = list(buffers)
    first = [buffer.clone() for buffer in buffers]
    for tensor in first:
        broadcast(tensor)
    # Two infinite numbers would have no difference.
    offsets = [torch.where(buffer == base, torch.zeros_like(base), buffer - base) if base.is_floating_point() else None
               for buffer, base in zip(buffers, first)]
    all_reduce_params([offset for offset in offsets if offset is not None], op='mean')
    for buffer, base, offset in zip(buffers, first, offsets):
        buffer.copy_(base if offset is None else base + offset)


def averages_of(runner: Runner) -> List[nn.Module]:
    """Moving averages of the model."""
    return [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model')]


@HOOKS.register_module()
class SyncBuffersHook(BeforeUseHook, MMEngineSyncBuffersHook):
    """Averages all buffers of the trained model over the processes, in place of mmengine's hook of that name.

    Each process's batch norms count its own samples, so their running statistics part during an epoch. They are
    averaged when it ends, before they are saved, and before each validation: all processes validate the network that is
    saved. Those of a model averaged by ``EMAHook`` are too, and where checkpoints are saved by steps, it is done then.
    Unlike mmengine's hook, it leaves constants and counters as they are. In one process it does nothing.
    """

    # Before EMAHook, which exchanges the two models for validation, and before whatever draws, saves or measures.
    priority = 'ABOVE_NORMAL'

    def before_use(self, runner: Runner, steps: int) -> None:
        """Average the buffers of the model, and of its moving average if there is one, now."""
        if not is_distributed():
            return
        for model in (runner.model, *averages_of(runner)):
            average_buffers(model.buffers())
