"""The time axis: outermost, folded into the batch for layers that have no state."""
from functools import reduce
from typing import Callable, Tuple

import torch
from torch import Tensor


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a stateless layer to every time step at once, on a (T*B, ...) view of ``x`` (T, B, ...)."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def time_mean(x: Tensor) -> Tensor:
    """Mean over T of logits (T, B, K) or of feature maps (T, B, C, H, W); (B, K) and (B, C, H, W) pass unchanged.

    Of numbers in half precision the mean is in fp32.
    """
    return x.mean(0, dtype=torch.promote_types(x.dtype, torch.float32)) if x.dim() in (3, 5) else x


def channels_last(x: Tensor) -> Tensor:
    """Maps (..., C, H, W) with the channels innermost in memory; shape and values stay the same."""
    return x.flatten(0, -4).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:-3])


def expand_time(x: Tensor, time_steps: int) -> Tensor:
    """(1, B, ...) as a (time_steps, B, ...) view; unchanged for ``time_steps=1``."""
    return _Expand.apply(x, time_steps) if time_steps > 1 else x


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
