"""Neurons whose steps share a few learned numbers, in one pass over memory each way.

Weights between time steps, as of parallel neurons, or for each of them do not spread over the input as a weight for all
steps does (:mod:`bkdsnn.models.neurons.compiled`). Here they are handed over as numbers, all steps are unrolled in one
kernel, and what the numbers are made of stays outside. Only the input is kept for backward, which computes the rest
again in registers, and sums the gradient of each number in the same pass.
"""
from functools import partial
from typing import List, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bkdsnn.utils.log_once import log_once

from .compiled import merge_axes
from .kernels import Kernel, NotTraceableError, constants_of, only_allocates, traced_once
from .nodes import choose_backend


def check_compiled_steps(node: nn.Module, time_steps: int) -> None:
    """Check that all steps go into one kernel where a node must be compiled.

    Raises:
        ValueError: If they do not.
    """
    if node.backend == 'compile' and time_steps > node.max_compiled_steps:
        raise ValueError(f"{type(node).__name__}: backend='compile' takes up to {node.max_compiled_steps} time steps, "
                         f"all of which are in one kernel, and got T={time_steps}; set backend='auto' or 'eager'.")


def compiles(node: nn.Module, x: Tensor) -> bool:
    """Whether a node compiles an input (T, B, ...)."""
    check_compiled_steps(node, len(x))
    return len(x) <= node.max_compiled_steps and choose_backend(node.backend, x) == 'compile'


def run_with_numbers(node: nn.Module, x: Tensor, numbers: Tensor) -> Optional[Tensor]:
    """Spikes of a node for all time steps, if it compiles them.

    Args:
        node: Its ``steps_with(currents, numbers)`` makes the spikes of each step (B, ...) of all currents (B, ...) and
            numbers, with operations on each number by itself.
        x: Input current, (T, B, ...), in any layout.
        numbers: Few, (N, ), in fp32 at least.

    Returns:
        Spikes, (T, B, ...), with the axes in memory in the order of ``x``; ``None`` where ``backend='auto'`` finds no
        graph.

    Raises:
        NotTraceableError: If there is no graph and ``backend='compile'``.
        RuntimeError: If compiling fails and ``backend='compile'``.
    """
    try:
        return _Run.apply(node, node.backend == 'auto', x, numbers)
    except NotTraceableError as error:
        if node.backend == 'compile':
            raise
        log_once(f"Neurons: {error}; backend='auto' goes on with 'eager'.")
        return None


class _Run(torch.autograd.Function):

    @staticmethod
    def forward(ctx, node: nn.Module, may_fall_back: bool, x: Tensor, numbers: Tensor) -> Tensor:
        ctx.node, ctx.may_fall_back = node, may_fall_back
        ctx.save_for_backward(x, numbers)
        (x, ), restore = merge_axes(x)
        spikes = torch.empty_like(x)
        if not only_allocates(x):
            _kernel_of(node, may_fall_back, x, len(numbers))(x, numbers, *spikes.unbind())
        return restore(spikes)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, numbers = ctx.saved_tensors
        (x, grad), restore = merge_axes(x, grad)
        grad_x, grads = torch.empty_like(x), [torch.empty_like(numbers)]
        if not only_allocates(x):
            kernel = _kernel_of(ctx.node, ctx.may_fall_back, x, len(numbers), grad)
            grads = kernel(x, grad, numbers, *grad_x.unbind())
        return None, None, restore(grad_x), *grads


def _kernel_of(node: nn.Module, may_fall_back: bool, x: Tensor, n: int, grad: Optional[Tensor] = None) -> Kernel:
    """That of all nodes of the same type and constants; sizes other than T and the number of numbers are symbols."""
    key = ('numbers', type(node), constants_of(node), may_fall_back, x.device, x.dtype, x.shape[0], x.dim(), n,
           None if grad is None else grad.dtype)
    what = (f'{type(node).__name__} {"forward" if grad is None else "backward"}, T={x.shape[0]}, '
            f'{str(x.dtype)[6:]}, {x.device.type}')
    return traced_once(key, what, x.device.type, may_fall_back, partial(_trace, node, x, n, grad))


def _trace(node: nn.Module, x: Tensor, n: int, grad: Optional[Tensor]) -> nn.Module:
    """The graph ``(x, numbers, *outs) -> []``, or ``(x, grad, numbers, *outs) -> [grads]`` of the numbers."""
    from torch.fx.experimental.proxy_tensor import make_fx  # heavy, and only needed to compile

    def forward(x: Tensor, numbers: Tensor, *outs: Tensor) -> List[Tensor]:
        for out, spike in zip(outs, node.steps_with(x.unbind(), numbers.unbind())):
            out.copy_(spike)
        return []

    def backward(x: Tensor, grad: Tensor, numbers: Tensor, *outs: Tensor) -> List[Tensor]:
        # A number is spread over the input, so that its gradient is one sum, in the same pass.
        spread = [number.expand(x.shape[1:]) for number in numbers.unbind()]
        inputs = [value.detach().requires_grad_() for value in (*x.unbind(), *spread)]
        with torch.enable_grad():
            spikes = node.steps_with(inputs[:len(outs)], inputs[len(outs):])
            grads: Sequence[Optional[Tensor]] = torch.autograd.grad(
                spikes, inputs, grad.to(spikes[0].dtype).unbind(), allow_unused=True)
        for out, grad_t in zip(outs, grads):
            out.zero_() if grad_t is None else out.copy_(grad_t)
        return [torch.stack([numbers.new_zeros(()) if grad is None else grad.sum() for grad in grads[len(outs):]])]

    # Their sizes are neither equal nor 0 or 1, so that none is taken for another one or for a constant.
    step = tuple(range(n + 2, n + 1 + x.dim()))
    whole = (x, ) if grad is None else (x, grad)
    examples = [torch.zeros(x.shape[0], *step, dtype=like.dtype, device=x.device) for like in whole]
    numbers = torch.zeros(n, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    outs = [torch.zeros(step, dtype=x.dtype, device=x.device) for _ in x]
    with torch.no_grad():
        return make_fx(forward if grad is None else backward, tracing_mode='symbolic')(*examples, numbers, *outs)
