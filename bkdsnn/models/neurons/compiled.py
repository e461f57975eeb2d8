"""Neurons in one pass over memory each way, by :mod:`bkdsnn.models.neurons.kernels`.

Forward reads the input and writes the spikes. Only the input is kept for backward, which computes the membrane again in
registers. A batch norm before the neuron can join the pass: what it makes of the input is neither written nor kept.
Many time steps are run in pieces, with the membrane between them in memory.
"""
from functools import reduce
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .base import State, has_hooks, states_of
from .kernels import NotTraceableError, kernel_of, tensors_of

# Steps are unrolled, and compiling takes the longer, the more they are; see docs/benchmarks.md.
MAX_STEPS_AT_ONCE = 4


def run_compiled(node: nn.Module, x: Tensor, may_fall_back: bool,
                 norm: Optional[nn.modules.batchnorm._BatchNorm] = None, v: State = None) -> Tuple[Tensor, State]:
    """Spikes of a node for all time steps, and the state after them if it goes on from one.

    Args:
        node: The neuron; its ``forward`` with ``backend='eager'`` is the definition.
        x: Input current, (T, B, ...), in any layout; nothing is copied. Of one that is the same in every step its
            ``expanded_from`` is the tensor (1, B, ...), which gets the gradient.
        may_fall_back: Whether a failing compiler is a line in the log, and not an error.
        norm: Batch norm over (T, B, H, W) to run first, on an ``x`` of (T, B, C, H, W). Its running statistics are
            updated as by its own ``forward``.
        v: State before the first step, in fp32 at least, where there is no ``norm``; ``None`` is rest.

    Returns:
        Spikes, (T, B, ...), with the axes in memory in the order of ``x``; and the state after them, or ``None``
        without a ``v``.

    Raises:
        NotTraceableError: If the node has an attribute that is no constant, a step depends on values or on other
            neurons, or a parameter does not broadcast to (B, ...).
        RuntimeError: If compiling fails and ``may_fall_back`` is not set.
    """
    with torch.autocast(x.device.type, enabled=False):
        tensors = tensors_of(node).values()
        if norm is not None:
            return _RunNormed.apply(node, may_fall_back, norm, x, norm.weight, norm.bias, *tensors), None
        # Who listens may ask for the gradient of what the neuron was given.
        step = x if has_hooks(node) else getattr(x, 'expanded_from', x)
        spikes, *after = _Run.apply(node, may_fall_back, len(x), len(states_of(v)), step, *states_of(v), *tensors)
        return spikes, tuple(after) if isinstance(v, tuple) else after[0] if after else None


class _Run(torch.autograd.Function):

    @staticmethod
    def forward(ctx, node: nn.Module, may_fall_back: bool, time_steps: int, number: int, x: Tensor, *tensors: Tensor
                ) -> Tuple[Tensor, ...]:
        ctx.node, ctx.may_fall_back, ctx.time_steps, ctx.goes_on = node, may_fall_back, time_steps, number > 0
        before, tensors = tensors[:number], tensors[number:]
        spikes, starts, after = _Pass(node, may_fall_back, [x.expand(time_steps, *x.shape[1:])], tensors, starts=before,
                                      goes_on=ctx.goes_on).forward()
        ctx.save_for_backward(x, *tensors, *before, *starts)
        ctx.number = len(tensors)
        return (spikes, *after)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, *grads_after: Tensor):
        x, *tensors = ctx.saved_tensors
        tensors, starts = tensors[:ctx.number], tensors[ctx.number:]
        back = _Pass(ctx.node, ctx.may_fall_back, [x.expand_as(grad), grad], tensors, starts=starts,
                     goes_on=ctx.goes_on, grads_after=grads_after, sums_steps=len(x) < ctx.time_steps)
        grad_x, grads_before, grads = back.backward()
        return None, None, None, None, grad_x, *grads_before, *grads


class _RunNormed(torch.autograd.Function):
    """The norm as ``x * scale + shift`` inside the neuron's pass; PyTorch has the statistics and their gradient."""

    @staticmethod
    def forward(ctx, node: nn.Module, may_fall_back: bool, norm: nn.modules.batchnorm._BatchNorm, x: Tensor,
                weight: Tensor, bias: Tensor, *tensors: Tensor) -> Tensor:
        mean, var = norm.running_mean, norm.running_var
        dtype = torch.promote_types(weight.dtype, torch.float32)
        # The kernels come first: a node without one is run another way, on running statistics that are still the old.
        _Pass(node, may_fall_back, [x], tensors, _spread(x, mean.to(dtype), var.to(dtype))).kernels(is_backward=False)
        if norm.training:
            if x.numel() == x.shape[2]:
                # PyTorch's words, by which others know it.
                raise ValueError(f'Expected more than 1 value per channel when training, got input size '
                                 f'{tuple(x.shape)}')
            norm.num_batches_tracked.add_(1)
            mean, var = torch.batch_norm_update_stats(x.flatten(0, 1), mean, var, norm.momentum)
        ctx.node, ctx.may_fall_back, ctx.eps, ctx.is_training = node, may_fall_back, norm.eps, norm.training
        inverse_std = torch.rsqrt(var.to(dtype) + norm.eps)
        scale = weight * inverse_std
        shift = torch.addcmul(bias.to(dtype), mean.to(dtype), scale, value=-1)
        spikes, starts, _ = _Pass(node, may_fall_back, [x], tensors, _spread(x, scale, shift)).forward()
        # Small tensors are kept rather than computed again: a GPU waits for the host to launch as many small kernels.
        ctx.save_for_backward(x, weight, mean, var, inverse_std, scale, shift, *tensors, *starts)
        ctx.number = len(tensors)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, mean, var, inverse_std, scale, shift, *tensors = ctx.saved_tensors
        tensors, starts = tensors[:ctx.number], tensors[ctx.number:]
        affine = _spread(x, scale, shift)
        grad_y, _, grads = _Pass(ctx.node, ctx.may_fall_back, [x, grad], tensors, affine, starts).backward()
        grad_x, *grad_norm = torch.ops.aten.native_batch_norm_backward(
            grad_y.flatten(0, 1), x.flatten(0, 1), weight, mean, var, mean, inverse_std, ctx.is_training, ctx.eps,
            ctx.needs_input_grad[3:6])
        return None, None, None, None if grad_x is None else grad_x.unflatten(0, x.shape[:2]), *grad_norm, *grads


def _spread(x: Tensor, *channels: Tensor) -> List[Tensor]:
    """Values for each channel as views of the shape of ``x``."""
    return [v.view(-1, 1, 1).expand_as(x) for v in channels]


class _Pass:
    """All time steps of one direction, in pieces that the kernels take.

    Args:
        node: The neuron.
        may_fall_back: As in :func:`run_compiled`.
        inputs: Input current (T, B, ...) and, for the gradient, that of the spikes.
        tensors: Parameters and buffers of the node.
        affine: Views of the shape of the input: the current is ``x * scale + shift``.
        starts: The states (B, ...) before the first piece if it ``goes_on`` from some, and for the gradient those
            before the second and later pieces.
        goes_on: Whether there are states before the first step, and those after the last are asked for.
        grads_after: For the gradient, if it ``goes_on``, that of the states after the last step.
        sums_steps: Whether the current is the same in all steps, so that its gradient is the sum of theirs.
    """

    def __init__(self, node: nn.Module, may_fall_back: bool, inputs: Sequence[Tensor], tensors: Sequence[Tensor],
                 affine: Sequence[Tensor] = (), starts: Sequence[Tensor] = (), goes_on: bool = False,
                 grads_after: Sequence[Tensor] = (), sums_steps: bool = False) -> None:
        self.node, self.may_fall_back, self.tensors, self.sums_steps = node, may_fall_back, tensors, sums_steps
        shape = inputs[0].shape
        spread = [t for t in tensors if t.numel() != 1]
        if not all(t.dim() < len(shape) and all(n in (1, m) for n, m in zip(reversed(t.shape), reversed(shape)))
                   for t in spread):
            shapes = [tuple(t.shape) for t in spread]
            raise NotTraceableError(f'{type(node).__name__} has tensors of the shapes {shapes}, which do not broadcast '
                                    f'to an input of {tuple(shape[1:])} a step')
        views, self.restore = merge_axes(
            *inputs, *affine, *(t.expand(shape) for t in (*starts, *grads_after, *spread)))
        views = iter(views)
        self.inputs, self.affine = [next(views) for _ in inputs], [next(views) for _ in affine]
        self.starts, self.grads_after = ([next(views)[0] for _ in states] for states in (starts, grads_after))
        self.merged = [t if t.numel() == 1 else next(views)[0] for t in tensors]
        pieces = -(-shape[0] // MAX_STEPS_AT_ONCE)
        self.lengths = [shape[0] // pieces + (i < shape[0] % pieces) for i in range(pieces)]
        self.goes_on, self.carries = goes_on, node.num_states if pieces > 1 or goes_on else 0
        if self.carries and not goes_on and (reason := node.why_no_rest(inputs[0][0])):
            raise NotTraceableError(reason)

    def kernels(self, is_backward: bool) -> list:
        """The kernel of each piece."""
        dtype = self.affine[0].dtype if self.affine else None
        return [kernel_of(self.node, is_backward, self.may_fall_back, *inputs, affine_dtype=dtype, carries=self.carries,
                          sums_steps=self.sums_steps) for inputs in self._pieces(*self.inputs)]

    def forward(self) -> Tuple[Tensor, List[Tensor], List[Tensor]]:
        """Spikes (T, B, ...); the states (B, ...) before the second and later pieces, and, if asked for, at the end."""
        spikes, states = torch.empty_like(self.inputs[0]), []
        v = self._first_states()
        for kernel, piece, outs in self._runs(False, spikes):
            v = kernel(*piece, *outs, *v, *self.merged)
            states += map(self._restore_step, v)
        between = len(states) - self.carries
        return self.restore(spikes), states[:between], states[between:] if self.goes_on else []

    def backward(self) -> Tuple[Tensor, List[Tensor], List[Optional[Tensor]]]:
        """Gradients of the current (T, B, ...), or (1, B, ...) if it is the same in all steps; of the states before it
        if it goes on; and of each of the tensors."""
        x = self.inputs[0]
        grad_x = torch.empty_like(x[:1].expand(len(self.lengths), *x.shape[1:]) if self.sums_steps else x)
        grads = [None] * len(self.tensors)
        starts, n = [*(() if self.goes_on else self._first_states()), *self.starts], self.carries
        starts = [starts[i * n:(i + 1) * n] for i in range(len(self.lengths))]
        carried = self.grads_after or [torch.zeros_like(v) for v in starts[0]]
        for (kernel, piece, outs), v in reversed(list(zip(self._runs(True, grad_x), starts))):
            results = kernel(*piece, *outs, *v, *carried, *self.merged)
            carried, more = results[:len(carried)], results[len(carried):]
            grads = [b if a is None else a + b for a, b in zip(grads, more)]
        before = [self._restore_step(grad) for grad in carried] if self.goes_on else []
        grad_x = self._restore_step(reduce(torch.add, grad_x))[None] if self.sums_steps else self.restore(grad_x)
        return grad_x, before, [self._of_tensor(t, grad) for t, grad in zip(self.tensors, grads)]

    def _pieces(self, *views: Tensor) -> List[Tuple[Tensor, ...]]:
        return list(zip(*(view.split(self.lengths) for view in views)))

    def _runs(self, is_backward: bool, result: Tensor) -> list:
        """For each piece its kernel, its inputs, and the steps of ``result`` to write."""
        pieces = self._pieces(*self.inputs, *self.affine)
        lengths = self.lengths if len(result) == sum(self.lengths) else 1
        return list(zip(self.kernels(is_backward), pieces, (part.unbind() for part in result.split(lengths))))

    def _of_tensor(self, tensor: Tensor, grad: Optional[Tensor]) -> Optional[Tensor]:
        if grad is None or tensor.numel() == 1:
            return grad
        return self._restore_step(grad).sum_to_size(tensor.shape)

    def _first_states(self) -> List[Tensor]:
        """The states that the first piece is given."""
        if self.goes_on or not self.carries:
            return self.starts
        x = self.inputs[0]
        return [*states_of(self.node.rest(x[0].to(torch.result_type(x, self.affine[0])) if self.affine else x[0]))]

    def _restore_step(self, step: Tensor) -> Tensor:
        return self.restore(step.expand(sum(self.lengths), *step.shape))[0]


def merge_axes(*tensors: Tensor) -> Tuple[List[Tensor], Callable[[Tensor], Tensor]]:
    """Views of tensors of one shape (T, ...) with as few axes as their layouts in memory allow, usually (T, n).

    The same code then serves every shape, and channels-last tensors as well as contiguous ones.

    Returns:
        The views, and the function that brings a tensor of their shape back to the axes before.
    """
    first = tensors[0]
    # Axes of size 1, whose strides mean nothing, come first and merge with any.
    order = [0, *sorted(range(1, first.dim()), key=lambda axis: (first.shape[axis] > 1, -first.stride(axis)))]
    views = [tensor.permute(order) for tensor in tensors]
    shape = views[0].shape
    merged = [1] if len(shape) > 1 else []  # where groups of axes start
    for axis in range(2, len(shape)):
        if any(v.stride(axis - 1) != v.stride(axis) * shape[axis] and shape[axis - 1] > 1 for v in views):
            merged.append(axis)
    for start, end in reversed(list(zip(merged, [*merged[1:], len(shape)]))):  # outer axes keep their index
        views = [v.flatten(start, end - 1) for v in views]
    back = sorted(range(first.dim()), key=order.__getitem__)
    return views, lambda tensor: tensor.reshape(shape).permute(back)
