"""The time axis: outermost, folded into the batch for layers that have no state."""
from functools import reduce
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor, nn

from ..neurons import SpikingNode


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a stateless layer to every time step at once, on a (T*B, ...) view of ``x`` (T, B, ...)."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def has_time_axis(network: nn.Module) -> bool:
    """Whether a network's features have time as their first axis.

    It may say so itself, with an attribute ``has_time``; of others, those with neurons of this package do.
    """
    own = getattr(network, 'has_time', None)
    return any(isinstance(module, SpikingNode) for module in network.modules()) if own is None else own


def mark_time(x: Tensor, has_time: bool) -> Tensor:
    """``x``, which knows from now on whether its first axis is time; results of operations on it do not."""
    x.has_time = has_time
    return x


def time_mean(x: Tensor, has_time: Optional[bool] = None) -> Tensor:
    """Mean over time of (T, B, ...); (B, ...) passes unchanged.

    Of numbers in half precision the mean is in fp32.

    Args:
        x: Feature or logits.
        has_time: Whether its first axis is time. By default as it is marked: what a recorder gives, and so what a loss
            gets, is. Of tensors that are not, logits (T, B, K) and maps (T, B, C, H, W) have time, and (B, K) and
            (B, C, H, W) do not; say so for others, such as tokens (B, N, C).
    """
    if has_time is None:
        has_time = getattr(x, 'has_time', x.dim() in (3, 5))
    return mark_time(x.mean(0, dtype=torch.promote_types(x.dtype, torch.float32)), False) if has_time else x


def channels_last(x: Tensor) -> Tensor:
    """Maps (..., C, H, W) with the channels innermost in memory; shape and values stay the same."""
    return x.flatten(0, -4).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:-3])


def expand_time(x: Tensor, time_steps: int) -> Tensor:
    """(1, B, ...) as a (time_steps, B, ...) view; unchanged for ``time_steps=1``.

    A compiled neuron that gets the view goes back to ``x`` by its ``expanded_from``, and sums the gradient over time in
    its own pass; the view itself then gets that of other readers alone.
    """
    if time_steps == 1:
        return x
    view = _Expand.apply(x, time_steps)
    if not torch.compiler.is_compiling():
        view.expanded_from = x
    return view


class _Expand(torch.autograd.Function):
    """``x.expand`` whose gradient keeps the order of memory, which the layers before are fast in.

    PyTorch sums the gradient into PyTorch's own order, in ten times the time where channels are innermost.
    """

    @staticmethod
    def forward(ctx, x: Tensor, time_steps: int) -> Tensor:
        return x.expand(time_steps, *x.shape[1:])

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tuple[Tensor, None]:
        return reduce(torch.add, grad.unbind()).unsqueeze(0), None
