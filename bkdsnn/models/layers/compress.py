"""What layers keep for backward, made small and exact: spikes as bytes, and of max-pools the places alone."""
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks

from ..neurons.kernels import Kernel, only_allocates
from ..neurons.nodes import choose_backend

_kernels = {}  # by device and dtype
_here = threading.local()  # backward passes have threads of their own


def kept_by_another() -> AbstractContextManager:
    """Inside the block layers are called as they are, since what autograd keeps of them is another's: a checkpoint's,
    whose hooks come to nothing where there are others inside."""
    return nullcontext() if torch.compiler.is_compiling() else _kept_by_another()


@contextmanager
def _kept_by_another():
    before = getattr(_here, 'is_another', False)
    _here.is_another = True
    try:
        yield
    finally:
        _here.is_another = before


class SpikeCompressor:
    """Calls layers so that what autograd keeps of their inputs is bytes, where these are whole numbers of 0 to 255.

    Whether they are is read from the first input that needs a gradient; from then on it is checked without waiting for
    the device. Inputs of other numbers, as the sums of residual branches under stochastic depth, are kept as they are;
    so are inputs that need no gradient, which are the data: of these one batch tells nothing of the next.

    Args:
        name: Of the layer, for errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.takes_spikes: Optional[bool] = None

    def __call__(self, layer: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """``layer(*inputs)``.

        Raises:
            RuntimeError: If the first inputs were whole numbers of 0 to 255 and later ones are not.
        """
        if (self.takes_spikes is False or not torch.is_grad_enabled() or torch.compiler.is_compiling()
                or getattr(_here, 'is_another', False)):
            return layer(*inputs)
        needed = [x for x in inputs if x.requires_grad]
        if self.takes_spikes is None and needed:
            self.takes_spikes = bool(_to_bytes(needed[0])[1])
            if not self.takes_spikes:  # gradient checkpointing must find the same tensors when it calls again
                return layer(*inputs)
        storages = {_storage_of(x): x for x in needed}

        def pack(saved: Tensor):
            x = storages.get(_storage_of(saved))
            if x is None or saved.numel() != x.numel() or not saved.is_floating_point():
                return saved
            return self._pack(x, saved), saved.dtype

        with saved_tensors_hooks(pack, lambda kept: kept if isinstance(kept, Tensor) else kept[0].to(kept[1])):
            y = layer(*inputs)
        storages.clear()  # autograd keeps pack, which would keep the inputs
        return y

    def _pack(self, x: Tensor, saved: Tensor) -> Tensor:
        # Several layers may read one input.
        layout = (x._version, saved.shape, saved.stride())
        known_layout, packed = getattr(x, '_as_bytes', (None, None))
        if known_layout == layout:
            return packed
        packed, is_exact = _to_bytes(saved)
        torch._assert_async(is_exact, f'{self.name}: the input held spikes before and now holds numbers other than '
                            '0, 1, ... 255, which compress_spikes=True cannot keep. Set compress_spikes=False.')
        x._as_bytes = (layout, packed)
        return packed


class SmallMaxPool2d(nn.MaxPool2d):
    """A max-pool that keeps for backward only where the maxima are, in the smallest integers."""

    @classmethod
    def like(cls, pool: nn.MaxPool2d) -> 'SmallMaxPool2d':
        """With the arguments of another."""
        return cls(pool.kernel_size, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W')."""
        if not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        return _SmallMaxPool.apply(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class _SmallMaxPool(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x: Tensor, *arguments) -> Tensor:
        y, places = torch.ops.aten.max_pool2d_with_indices(x, *map(_pair, arguments[:-1]), arguments[-1])
        is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        ctx.arguments, ctx.shape = arguments, x.shape
        ctx.layout = torch.channels_last if is_last else torch.contiguous_format
        ctx.save_for_backward(places.to(torch.int16 if x.shape[-1] * x.shape[-2] <= 2**15 else torch.int32))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        places, = ctx.saved_tensors
        *sizes, ceil_mode = ctx.arguments
        # Of the input PyTorch needs the shape and the order of memory alone, which the result has too.
        grad_x = torch.empty(ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.layout)
        torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
            grad, grad_x, *map(_pair, sizes), ceil_mode, places.long(), grad_input=grad_x)
        return grad_x, *[None] * len(ctx.arguments)


def _pair(size: Union[int, Sequence[int]]) -> List[int]:
    return [size, size] if isinstance(size, int) else list(size)


def compress_spikes_in(network: nn.Module) -> None:
    """Have all layers of a network that can keep spikes as bytes do so."""
    for name, module in network.named_modules():
        if hasattr(module, 'compress_spikes'):
            module.compress_spikes(name)


def _storage_of(x: Tensor) -> int:
    """Tells storages apart, also those of fake tensors, which are nowhere in memory."""
    return x.untyped_storage()._cdata


def _to_bytes(x: Tensor) -> Tuple[Tensor, Tensor]:
    """``x`` in uint8, and whether that is exact."""
    is_dense = torch.empty_like(x, device='meta').stride() == x.stride()
    if not is_dense or choose_backend('auto', x.view(1, *x.shape)) == 'eager':
        return _cast_and_check(x)
    if only_allocates(x):
        return torch.empty_like(x, dtype=torch.uint8), x.new_empty((), dtype=torch.bool)
    key = x.device, x.dtype
    if key not in _kernels:
        _kernels[key] = Kernel(_cast_and_check, f'spikes to bytes, {str(x.dtype)[6:]}, {x.device.type}',
                               x.device.type, may_fall_back=True)
    # In the order of memory every shape is the same code.
    packed, is_exact = _kernels[key](x.detach().as_strided((x.numel(),), (1,)))
    return packed.as_strided(x.shape, x.stride()), is_exact


def _cast_and_check(x: Tensor) -> Tuple[Tensor, Tensor]:
    packed = x.to(torch.uint8)
    return packed, (packed.to(x.dtype) == x).all()
