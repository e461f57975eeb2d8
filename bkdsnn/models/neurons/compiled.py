"""Neurons in one pass over memory each way: their eager definition, traced over all time steps and compiled.

Forward reads the input and writes the spikes. Only the input is kept for backward, which computes the membrane again in
registers. There is no second definition: the graphs of both directions are traced from the node itself, whatever its
``charge``, and fused by ``torch.compile`` into C++ on a CPU and Triton on a GPU.

A batch norm before the neuron can join the pass: what it makes of the input is neither written nor kept.
"""
import time
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from .surrogate import Surrogate

# All loops are cut among the threads that there are when they run, also where the first input was small.
OPTIONS = {'cpp.min_chunk_size': 1, 'cpp.dynamic_threads': True}
_problems = {}  # by device type: why nothing can be compiled, or None
_kernels = {}  # by all that the code of one depends on


class NotTraceableError(TypeError):
    """A node has no graph, since its code depends on more than parameters, buffers and constants."""


def why_not(device: str) -> Optional[str]:
    """Why nothing can be compiled for a type of device, or ``None``."""
    if device not in _problems:
        _problems[device] = _missing_compiler(device)
    return _problems[device]


def _missing_compiler(device: str) -> Optional[str]:
    if device == 'cpu':
        from torch._inductor import cpp_builder, exc
        try:
            cpp_builder.get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            return 'there is no C++ compiler; install g++ or clang, or name one in the environment variable CXX'
        return None
    from torch.utils._triton import has_triton
    return None if has_triton() else f'Triton does not work here for the device type {device!r}'


def only_allocates(x: Tensor) -> bool:
    """Whether ``x`` is a fake tensor and no graph is traced from it: a kernel then allocates its outputs, no more."""
    if not is_fake(x):
        return False
    from torch.fx.experimental.proxy_tensor import get_proxy_mode
    return get_proxy_mode() is None


def run_compiled(node: nn.Module, x: Tensor, may_fall_back: bool, norm: Optional[nn.modules.batchnorm._BatchNorm] = None
                 ) -> Tensor:
    """Spikes of a node for all time steps.

    Args:
        node: The neuron; its ``forward`` with ``backend='eager'`` is the definition.
        x: Input current, (T, B, ...), in any layout; nothing is copied.
        may_fall_back: Whether a failing compiler is a line in the log, and not an error.
        norm: Batch norm over (T, B, H, W) to run first, on an ``x`` of (T, B, C, H, W). Its running statistics are
            updated as by its own ``forward``.

    Returns:
        Spikes, (T, B, ...), with the axes in memory in the order of ``x``.

    Raises:
        NotTraceableError: If the node has an attribute that is no constant, or a step depends on values.
        RuntimeError: If compiling fails and ``may_fall_back`` is not set.
    """
    with torch.autocast(x.device.type, enabled=False):
        if norm is None:
            return _Run.apply(node, may_fall_back, x, *_tensors_of(node).values())
        return _RunNormed.apply(node, may_fall_back, norm, x, norm.weight, norm.bias, *_tensors_of(node).values())


def _tensors_of(node: nn.Module) -> Dict[str, Tensor]:
    return dict(node.named_parameters(), **dict(node.named_buffers()))


def _constants_of(node: nn.Module) -> tuple:
    """Attributes that are part of a node's code."""
    constants = {name: value for name, value in vars(node).items()
                 if not name.startswith('_') and name not in ('training', 'backend')}
    for name, value in constants.items():
        if not isinstance(value, (bool, int, float, str, type(None), Surrogate)):
            raise NotTraceableError(f'{type(node).__name__}.{name} is a {type(value).__name__}; constants of a neuron '
                                    'are numbers and strings, and tensors are parameters or buffers')
    return tuple(constants.items())


class _Run(torch.autograd.Function):

    @staticmethod
    def forward(ctx, node: nn.Module, may_fall_back: bool, x: Tensor, *tensors: Tensor) -> Tensor:
        ctx.node, ctx.may_fall_back = node, may_fall_back
        ctx.save_for_backward(x, *tensors)
        (flat,), restore = merge_axes(x)
        return restore(_kernel(node, False, may_fall_back, flat, *tensors)(flat, *tensors))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, *tensors = ctx.saved_tensors
        (x, grad), restore = merge_axes(x, grad)
        grad_x, *grads = _kernel(ctx.node, True, ctx.may_fall_back, x, grad, *tensors)(x, grad, *tensors)
        return None, None, restore(grad_x), *grads


class _RunNormed(torch.autograd.Function):
    """The norm as ``x * scale + shift`` inside the neuron's pass; PyTorch has the statistics and their gradient."""

    @staticmethod
    def forward(ctx, node: nn.Module, may_fall_back: bool, norm: nn.modules.batchnorm._BatchNorm, x: Tensor,
                weight: Tensor, bias: Tensor, *tensors: Tensor) -> Tensor:
        mean, var = norm.running_mean, norm.running_var
        # The kernel comes first: a node without one is run another way, on running statistics that are still the old.
        (flat, *affine), _ = merge_axes(x, *_affine(x, weight, bias, mean, var))
        kernel = _kernel(node, False, may_fall_back, flat, *tensors, affine=affine)
        if norm.training:
            if x.numel() == x.shape[2]:
                raise ValueError(f'batch norm needs more than one value per channel in training, got shape '
                                 f'{tuple(x.shape)}.')
            norm.num_batches_tracked.add_(1)
            mean, var = torch.batch_norm_update_stats(x.flatten(0, 1), mean, var, norm.momentum)
        ctx.node, ctx.may_fall_back, ctx.eps, ctx.is_training = node, may_fall_back, norm.eps, norm.training
        ctx.save_for_backward(x, weight, bias, mean, var, *tensors)
        (flat, *affine), restore = merge_axes(x, *_affine(x, weight, bias, mean, torch.rsqrt(var + norm.eps)))
        return restore(kernel(flat, *affine, *tensors))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, bias, mean, var, *tensors = ctx.saved_tensors
        inverse_std = torch.rsqrt(var + ctx.eps)
        (flat, grad, *affine), restore = merge_axes(x, grad, *_affine(x, weight, bias, mean, inverse_std))
        kernel = _kernel(ctx.node, True, ctx.may_fall_back, flat, grad, *tensors, affine=affine)
        grad_y, *grads = kernel(flat, grad, *affine, *tensors)
        grad_x, *grad_norm = torch.ops.aten.native_batch_norm_backward(
            restore(grad_y).flatten(0, 1), x.flatten(0, 1), weight, mean, var, mean, inverse_std, ctx.is_training,
            ctx.eps, ctx.needs_input_grad[3:6])
        return None, None, None, None if grad_x is None else grad_x.unflatten(0, x.shape[:2]), *grad_norm, *grads


def _affine(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse_std: Tensor) -> Tuple[Tensor, Tensor]:
    """The norm's factor and offset for each channel, in fp32 at least, as views of the shape of ``x``."""
    scale = weight.to(torch.promote_types(weight.dtype, torch.float32)) * inverse_std
    return tuple(v.view(-1, 1, 1).expand_as(x) for v in (scale, bias - mean * scale))


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
    # .data: known as a view, a tensor would be compiled for the shape of its base.
    return [v.data for v in views], lambda tensor: tensor.reshape(shape).permute(back)


class Kernel:
    """A graph that is compiled at its first call."""

    def __init__(self, graph: Callable, what: str, device: str, may_fall_back: bool) -> None:
        self.graph, self.what, self.device, self.may_fall_back = graph, what, device, may_fall_back
        self.run = None

    def __call__(self, *tensors: Tensor):
        if self.run is None and self.may_fall_back and why_not(self.device):
            self.run = self.graph  # another direction or neuron has failed
        if self.run is not None:
            return self.run(*tensors)
        start = time.perf_counter()
        compiled = torch.compile(self.graph, dynamic=True, options=OPTIONS if self.device == 'cpu' else None)
        try:
            result = compiled(*tensors)
        except Exception as error:  # compilers raise what they like
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if not self.may_fall_back:
                raise RuntimeError(f"Neurons: backend='compile' failed for {self.what}: {reason}. Set backend='eager', "
                                   "or 'auto', which falls back to it.") from error
            print_log(f"Neurons: compiling {self.what} failed ({reason}); backend='auto' goes on with 'eager'.",
                      logger='current')
            _problems[self.device] = reason
            self.run = self.graph
            return self.graph(*tensors)
        print_log(f'Neurons: compiled {self.what} in {time.perf_counter() - start:.1f} s.', logger='current')
        self.run = compiled
        return result


class _Definition(nn.Module):
    """A node without its hooks, which must see tensors and no traces."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.node = node

    def forward(self, x: Tensor) -> Tensor:
        return self.node.forward(x, backend='eager')


def _kernel(node: nn.Module, is_backward: bool, may_fall_back: bool, x: Tensor, *tensors: Tensor,
            affine: Sequence[Tensor] = ()) -> Kernel:
    """That of all nodes of the same type and constants; sizes other than T are symbols in it."""
    if only_allocates(x):
        return partial(_allocate_gradients, len(affine)) if is_backward else _allocate_spikes
    kinds = tuple((tensor.dtype, tensor.dim()) for tensor in (x, *tensors))
    affine_dtype = affine[0].dtype if affine else None
    key = (type(node), _constants_of(node), is_backward, may_fall_back, x.device, x.shape[0], kinds, affine_dtype)
    if key not in _kernels:
        what = (f'{type(node).__name__}{" with its norm" if affine else ""} '
                f'{"backward" if is_backward else "forward"}, T={x.shape[0]}, {str(x.dtype)[6:]}, {x.device.type}')
        try:
            graph = trace(node, is_backward, x.device, kinds, x.shape[0], affine_dtype)
        except Exception as error:  # whatever the node's code makes of tensors without values
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise NotTraceableError(f'{what} cannot be traced: {reason}') from error
        _kernels[key] = Kernel(graph, what, x.device.type, may_fall_back)
    return _kernels[key]


def _allocate_spikes(x: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(x)


def _allocate_gradients(affines: int, x: Tensor, grad: Tensor, *tensors: Tensor) -> List[Optional[Tensor]]:
    return [torch.empty_like(t) if t.is_floating_point() else None for t in (x, *tensors[affines:])]


def trace(node: nn.Module, is_backward: bool, device: torch.device, kinds: Sequence[tuple], time_steps: int,
          affine_dtype: Optional[torch.dtype] = None) -> nn.Module:
    """One direction of a node as a graph of tensor operations, unrolled over time.

    Args:
        node: Its ``forward`` with ``backend='eager'`` is traced.
        is_backward: Whether to trace the gradient.
        device: Of all tensors.
        kinds: dtype and number of axes of the input; in backward those of the gradient of the spikes; and those of
            each parameter and buffer.
        time_steps: T.
        affine_dtype: If given, the neuron's current is not ``x`` but ``x * scale + shift``, with two tensors of this
            dtype and the shape of ``x``.

    Returns:
        ``graph(x, *affine, *tensors) -> spikes``, or ``graph(x, grad, *affine, *tensors) -> gradients`` of the current
        and each parameter and buffer (``None`` for those that are no floating point or not used). ``affine`` is
        ``scale, shift`` or nothing.
    """
    from torch.fx.experimental.proxy_tensor import make_fx
    tensors = _tensors_of(node)
    names = [f'node.{name}' for name in tensors]
    definition = _Definition(node)
    affines = 0 if affine_dtype is None else 2

    def fire(current: Tensor, *values: Tensor) -> Tensor:
        return functional_call(definition, dict(zip(names, values)), (current,))

    def forward(x: Tensor, *values: Tensor) -> Tensor:
        return fire(_current(x, *values[:affines]), *values[affines:]).to(x.dtype)

    def backward(x: Tensor, grad: Tensor, *values: Tensor) -> Sequence[Optional[Tensor]]:
        current = _current(x, *values[:affines])
        inputs = [value.detach() for value in (current, *values[affines:])]
        floating = [value.requires_grad_() for value in inputs if value.is_floating_point()]
        with torch.enable_grad():
            spikes = fire(*inputs)
            grads = iter(torch.autograd.grad(spikes, floating, grad.to(spikes.dtype), allow_unused=True))
        grads = [next(grads) if value.is_floating_point() else None for value in inputs]
        return [grads[0].to(x.dtype), *grads[1:]]

    # Sizes that are neither equal nor 0 or 1, so that none is taken for a constant.
    kinds = [*kinds[:2 if is_backward else 1], *[(affine_dtype, kinds[0][1])] * affines]
    example = [torch.zeros(time_steps, *range(11, 10 + dims), dtype=dtype, device=device) for dtype, dims in kinds]
    values = [tensor.detach() for tensor in tensors.values()]
    with torch.no_grad():
        return make_fx(backward if is_backward else forward, tracing_mode='symbolic')(*example, *values)


def _current(x: Tensor, scale: Optional[Tensor] = None, shift: Optional[Tensor] = None) -> Tensor:
    return x if scale is None else x * scale + shift
