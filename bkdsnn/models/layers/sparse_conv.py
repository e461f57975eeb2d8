"""Convolutions of spikes that skip what is zero, on CPUs: the sums are those of a dense one, in another order.

The code is in ``sparse_conv.cpp``, which is compiled at first use, by the compiler of ``torch.compile`` and into its
cache.
"""
import copy
import ctypes
import time
from functools import lru_cache
from pathlib import Path
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from bkdsnn.utils.log_once import log_once
from bkdsnn.utils.out_of_memory import find_memory_error

from ..neurons.kernels import cpu_options, why_not

SOURCE = Path(__file__).with_suffix('.cpp')
DTYPES = {torch.float32: 'float32', torch.float64: 'float64'}
# Sizes and strides.
KERNELS = [((1, 1), (1, 1)), ((3, 3), (1, 1)), ((3, 3), (2, 2))]
# With more of the input to work on, or fewer channels, a dense convolution is done sooner.
MAX_DENSITY = 0.4
MIN_OUT_CHANNELS = 32


class SpikeConv2d(nn.Conv2d):
    """A convolution that may skip the zeros of its input, which spikes are for the most part.

    Where there are more ones, as a max-pool may leave, it skips these, and adds what a map of ones gives.

    It does so with ``skips_zeros = True`` where that can be and pays: on CPUs, in fp32 and fp64, with a kernel of 1x1
    and a stride of 1, or of 3x3 and a stride of 1 or 2, a padding of half the kernel and at least ``MIN_OUT_CHANNELS``
    output channels, which must fill vectors (multiples of 16); and while what is left of an input is no more than
    ``MAX_DENSITY`` of it. Elsewhere it is ``nn.Conv2d``, whose arguments and weights it has.

    Weights are put in another order in each call. With ``keeps_order = True``, without gradients, they are so once, and
    kept beside: for networks whose weights no longer change. Loading, casting, moving and operations in place are
    noticed; changes by way of ``weight.data``, and of weights that were made in inference mode, are not.
    """

    skips_zeros = keeps_order = False
    _packed: Optional[Tensor] = None
    _packed_of: Optional[tuple] = None

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        """(N, C, H, W) to (N, C', H', W'); what ``nn.Conv2d`` calls."""
        if self.skips_zeros and self._can_skip_zeros(x):
            packed = self._kept_order() if self.keeps_order and not torch.is_grad_enabled() else None
            return _SparseConv.apply(x, weight, bias, self.stride[0], packed)
        return super()._conv_forward(x, weight, bias)

    def _kept_order(self) -> Tensor:
        weight = self.weight
        key = weight.data_ptr(), weight.dtype, None if weight.is_inference() else weight._version
        if self._packed_of != key:
            self._packed, self._packed_of = pack(weight), key
        return self._packed

    def _apply(self, *args, **kwargs) -> nn.Module:
        self._packed = self._packed_of = None  # another weight may be where the old one was
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self._packed = self._packed_of = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _packed=None, _packed_of=None)

    def _can_skip_zeros(self, x: Tensor) -> bool:
        # Whoever compiles, traces or counts operators must see a convolution.
        if (torch.compiler.is_compiling() or torch.jit.is_tracing() or is_in_torch_dispatch_mode() or is_fake(x)
                or x.is_meta):
            return False
        if x.device.type != 'cpu' or x.dtype not in DTYPES or torch.is_autocast_enabled('cpu'):
            where = f'on {x.device.type}' if x.device.type != 'cpu' else 'in half precision'
            log_once(f'sparse_convs=True: convolutions are dense {where}; zeros are skipped on CPUs in fp32.')
            return False
        size = self.kernel_size[0]
        return ((self.kernel_size, self.stride) in KERNELS and self.dilation == (1, 1) and self.groups == 1
                and self.padding == (size // 2, size // 2) and self.padding_mode == 'zeros'
                and self.out_channels >= MIN_OUT_CHANNELS and self.weight.dtype == x.dtype and x.numel() > 0
                and self.out_channels * x.element_size() % _library().sparse_conv_vector_bytes() == 0)


def skip_zeros_in(network: nn.Module, keep_order: bool = False) -> None:
    """Have the convolutions of spikes in a network skip zeros.

    Args:
        network: Whatever has them.
        keep_order: Whether they keep their weights in the order that they need, for inference.
    """
    for module in network.modules():
        if isinstance(module, SpikeConv2d):
            module.skips_zeros, module.keeps_order = True, keep_order


def skipping_zeros(model: nn.Module) -> nn.Module:
    """A copy of a network for inference, whose convolutions skip zeros and keep their weights in the order for that.

    Its maps have their channels innermost. Logits are the same up to rounding, so that in fp32 a membrane next to the
    threshold may spike or not.

    Args:
        model: A network in eval mode; it is left as it is.

    Raises:
        ValueError: If the network is in training mode, or has no convolution of spikes.
    """
    if model.training:
        raise ValueError('sparse_convs: weights that learn are put in order in each call; call model.eval() first, or '
                         'set sparse_convs=True in the config of the SpikingClassifier.')
    if not any(isinstance(module, SpikeConv2d) for module in model.modules()):
        raise ValueError(f'sparse_convs: {type(model).__name__} has no SpikeConv2d, whose zeros could be skipped.')
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    model.channels_last = True
    skip_zeros_in(model, keep_order=True)
    return model


class _SparseConv(torch.autograd.Function):
    """Forward and the weight's gradient skip zeros; the input's gradient is dense."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: int, packed: Optional[Tensor]
                ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        y = convolve(x, weight, bias, int(MAX_DENSITY * x.numel()), stride, packed)
        ctx.is_sparse = y is not None
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2) if y is None else y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        # PyTorch's gradient of the bias comes with that of the weight, which would be computed for nothing.
        grad_bias = grad.sum((0, 2, 3)) if needs_bias else None
        is_dense = needs_weight and not ctx.is_sparse
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, [ctx.stride] * 2, [weight.shape[-1] // 2] * 2, [1, 1], False, [0, 0], 1,
            [needs_x, is_dense, False])
        if needs_weight and ctx.is_sparse:
            grad_weight = weight_grad(x, grad, weight, ctx.stride)
        return grad_x, grad_weight, grad_bias, None, None


class _Shape(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ('N', 'H', 'W', 'C', 'O')]


class _Strides(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ('out', 'in', 'tap')]


def pack(weight: Tensor) -> Tensor:
    """The numbers of a weight in the order that :func:`convolve` reads."""
    weight = _with_one_stride_of_taps(weight)
    packed = torch.empty(weight.numel(), dtype=weight.dtype)
    shape = _Shape(1, 1, 1, weight.shape[1], weight.shape[0])
    _function('sparse_conv_pack', weight)(
        _pointer(weight), _strides(weight), _pointer(packed), shape, weight.shape[-1], torch.get_num_threads())
    return packed


def convolve(x: Tensor, weight: Tensor, bias: Optional[Tensor], max_entries: int, stride: int = 1,
             packed: Optional[Tensor] = None) -> Optional[Tensor]:
    """Convolution whose padding is half the kernel.

    Args:
        x: (N, C, H, W), fp32 or fp64 on a CPU; faster with its channels innermost in memory.
        weight: (C', C, 1, 1) or (C', C, 3, 3), C' a multiple of what a vector holds.
        bias: (C', ) or ``None``.
        max_entries: How many numbers of ``x`` may differ from 0, or from 1 if that is more frequent.
        stride: 1 or 2.
        packed: What :func:`pack` makes of the weight, if it is there.

    Returns:
        (N, C', H, W), or with half the sides, with its channels innermost; ``None`` if more do.
    """
    x, bias = _innermost(x), bias if bias is None else bias.contiguous()
    packed = pack(weight) if packed is None else packed
    sides = [(side - 1) // stride + 1 for side in x.shape[2:]]
    y = torch.empty(x.shape[0], weight.shape[0], *sides, dtype=x.dtype, memory_format=torch.channels_last)
    done = _function('sparse_conv', x)(
        _pointer(x), _pointer(packed), _pointer(bias), _pointer(y), _shape(x, weight), weight.shape[-1], stride,
        max_entries, torch.get_num_threads())
    return y if done else None


def weight_grad(x: Tensor, grad: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Gradient of the weight of :func:`convolve`, given that of the output."""
    x, grad = _innermost(x), _innermost(grad)
    result = _with_one_stride_of_taps(torch.empty_like(weight))
    _function('sparse_conv_weight_grad', x)(
        _pointer(x), _pointer(grad), _pointer(result), _strides(result), _shape(x, weight), weight.shape[-1],
        stride, torch.get_num_threads())
    return result


def _innermost(x: Tensor) -> Tensor:
    return x.detach().contiguous(memory_format=torch.channels_last)


def _with_one_stride_of_taps(weight: Tensor) -> Tensor:
    is_regular = weight.stride(2) == weight.shape[3] * weight.stride(3) or weight.shape[3] == 1
    return weight.detach() if is_regular else weight.detach().contiguous()


def _pointer(x: Optional[Tensor]) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.data_ptr())


def _shape(x: Tensor, weight: Tensor) -> _Shape:
    n, c, h, w = x.shape
    return _Shape(n, h, w, c, weight.shape[0])


def _strides(weight: Tensor) -> _Strides:
    return _Strides(weight.stride(0), weight.stride(1), weight.stride(3))


def _function(name: str, x: Tensor):
    return getattr(_library(), f'{name}_{DTYPES[x.dtype]}')


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """The compiled code.

    Raises:
        RuntimeError: If it cannot be compiled.
    """
    from torch._inductor import config  # heavy, and only needed to compile
    from torch._inductor.codecache import CppCodeCache  # likewise
    start, reason = time.perf_counter(), why_not('cpu')
    try:
        if not reason:
            with config.patch(cpu_options()):
                library = CppCodeCache.load(SOURCE.read_text())
    except Exception as error:  # compilers raise what they like
        if memory_error := find_memory_error(error):
            raise memory_error from None
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if reason:
        raise RuntimeError(f'sparse_convs=True: {SOURCE.name} cannot be compiled: {reason}. Or set sparse_convs=False.')
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    for dtype in DTYPES.values():
        forward = getattr(library, f'sparse_conv_{dtype}')
        forward.argtypes = [pointer, pointer, pointer, pointer, _Shape, number, number, number, number]
        forward.restype = ctypes.c_bool
        order = getattr(library, f'sparse_conv_pack_{dtype}')
        order.argtypes, order.restype = [pointer, _Strides, pointer, _Shape, number, number], None
        backward = getattr(library, f'sparse_conv_weight_grad_{dtype}')
        backward.argtypes = [pointer, pointer, pointer, _Strides, _Shape, number, number, number]
        backward.restype = None
    print_log(f'Convolutions that skip zeros: compiled in {time.perf_counter() - start:.1f} s.', logger='current')
    return library
