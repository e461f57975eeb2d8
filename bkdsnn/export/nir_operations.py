"""What each torch function becomes in NIR. Adding one is one decorated function."""
from typing import Any, Callable, Dict, Optional, Tuple, Union

import numpy as np
from torch import Tensor
from torch.nn.modules.utils import _pair

from .nir_graph import GraphBuilder, Signal
from .nir_max_pool import max_pool

# By the name of the torch function: (graph, output, *arguments) -> signal, where signals stand for their tensors.
OPERATIONS: Dict[str, Callable[..., Signal]] = {}
# Functions that split, join or swap axes; those of a sample must not be among them.
VIEWS = {'__get__', 'expand', 'flatten', 'permute', 'reshape', 'squeeze', 'transpose', 'unflatten', 'unsqueeze', 'view'}
SAME = {'clone', 'contiguous', 'detach', 'double', 'dropout', 'float', 'to'}
# What functions that networks use, and NIR has nothing for, are in words.
WORDS = {
    **dict.fromkeys(('__matmul__', 'bmm', 'einsum', 'matmul'), 'a product of two signals'),
    '__setitem__': 'writing into a part of a map',
    '__getitem__': 'taking a part of a map',
    'sum': 'a sum over an axis',
    'unbind': 'taking time steps apart',
}


class NotHeldError(Exception):
    """What NIR cannot hold, as a part of a sentence."""


def operation(*names: str) -> Callable:
    """Register a function for torch functions of these names."""

    def register(function: Callable) -> Callable:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def numbers(x: Tensor) -> np.ndarray:
    """Weights in double precision."""
    return x.detach().double().cpu().numpy()


def map_size(output: Tensor) -> Tuple[int, int]:
    """Height and width."""
    return tuple(output.shape[-2:])


@operation('conv2d')
def conv2d(graph: GraphBuilder, output: Tensor, x: Signal, weight: Tensor, bias: Optional[Tensor] = None,
           stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Signal:
    """A convolution with a square kernel."""
    if weight.shape[2] != weight.shape[3]:
        raise NotHeldError(f'a kernel of {weight.shape[2]}x{weight.shape[3]}; the shapes that nir infers are those of '
                           'square ones')
    padding = padding if isinstance(padding, str) else _pair(padding)
    return graph.conv(x, numbers(weight), None if bias is None else numbers(bias), _pair(stride), padding,
                      _pair(dilation), groups, output.shape[-3:])


@operation('batch_norm')
def batch_norm(graph: GraphBuilder, output: Tensor, x: Signal, mean: Tensor, var: Tensor,
               weight: Optional[Tensor] = None, bias: Optional[Tensor] = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> Signal:
    """A norm with running statistics."""
    if training or len(x.shape) != 3:
        raise NotHeldError('a batch norm on other than maps, or with statistics of the batch')
    scale = 1 / np.sqrt(numbers(var) + eps) * (1 if weight is None else numbers(weight))
    return graph.norm(x, scale, (0 if bias is None else numbers(bias)) - numbers(mean) * scale)


@operation('linear')
def linear(graph: GraphBuilder, output: Tensor, x: Signal, weight: Tensor, bias: Optional[Tensor] = None) -> Signal:
    """A linear layer on (C, )."""
    if len(x.shape) != 1:
        raise NotHeldError('a linear layer on a map; a 1x1 convolution would do')
    return graph.linear(x, numbers(weight), None if bias is None else numbers(bias))


@operation('mean')
def mean(graph: GraphBuilder, output: Tensor, x: Signal, dim: Any = None, keepdim: bool = False) -> Signal:
    """The mean over height and width."""
    axes = output.dim() + 2  # of the input
    is_space = isinstance(dim, (tuple, list)) and sorted(d % axes for d in dim) == [axes - 2, axes - 1]
    if len(x.shape) != 3 or keepdim or not is_space:
        raise NotHeldError('a mean over other axes than height and width')
    size = x.shape[1:]
    return graph.flatten(x if size == (1, 1) else graph.mean_pool(x, size, size, (0, 0), (1, 1)))


@operation('avg_pool2d')
def avg_pool2d(graph: GraphBuilder, output: Tensor, x: Signal, kernel_size: Any, stride: Any = None, padding: Any = 0,
               ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Optional[int] = None
               ) -> Signal:
    """A mean-pool."""
    padding = _pair(padding)
    if ceil_mode or divisor_override or (any(padding) and not count_include_pad):
        raise NotHeldError('a mean-pool with ceil_mode, a divisor of its own, or a border that does not count')
    stride = kernel_size if stride is None or stride == [] else stride
    return graph.mean_pool(x, _pair(kernel_size), _pair(stride), padding, map_size(output))


@operation('adaptive_avg_pool2d')
def adaptive_avg_pool2d(graph: GraphBuilder, output: Tensor, x: Signal, output_size: Any) -> Signal:
    """A mean-pool whose windows do not overlap."""
    size = map_size(output)
    if x.shape[1] % size[0] or x.shape[2] % size[1]:
        raise NotHeldError(f'averaging {x.shape[1]}x{x.shape[2]} down to {size[0]}x{size[1]}, where windows overlap. '
                           f'Export it for inputs of {size[0]}x{size[1]} (--shape)')
    window = x.shape[1] // size[0], x.shape[2] // size[1]
    return graph.mean_pool(x, window, window, (0, 0), size)


@operation('max_pool2d')
def max_pool2d(graph: GraphBuilder, output: Tensor, x: Signal, kernel_size: Any, stride: Any = None, padding: Any = 0,
               dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Signal:
    """A max-pool of spikes and their sums."""
    if x.largest is None:
        raise NotHeldError('a max-pool of numbers other than spikes, which no node of NIR makes')
    stride = kernel_size if stride is None else stride
    settings = [_pair(v) for v in (kernel_size, stride, padding)]
    if any(a != b for a, b in settings) or _pair(dilation) != (1, 1):
        raise NotHeldError('a max-pool with windows that are not square, or dilated')
    return max_pool(graph, x, *(a for a, _ in settings), map_size(output))


@operation('add', '__add__', '__radd__')
def add(graph: GraphBuilder, output: Tensor, x: Any, y: Any, alpha: float = 1) -> Signal:
    """A sum of signals, or of a signal and constants."""
    if isinstance(x, Signal) and isinstance(y, Signal):
        if alpha != 1 or x.shape != y.shape:
            raise NotHeldError(f'a sum of signals of the shapes {x.shape} and {y.shape}, or with a factor')
        return graph.sum(x, y)
    x, y = (x, y) if isinstance(x, Signal) else (y, x)
    return _affine(graph, x, 1.0, per_channel(y, x) * alpha)


@operation('sub', '__sub__')
def sub(graph: GraphBuilder, output: Tensor, x: Any, y: Any) -> Signal:
    """A difference of signals, or of a signal and constants."""
    if isinstance(x, Signal) and isinstance(y, Signal):
        return add(graph, output, x, _affine(graph, y, -1.0, 0.0))
    if isinstance(x, Signal):
        return _affine(graph, x, 1.0, -per_channel(y, x))
    return _affine(graph, y, -1.0, per_channel(x, y))


@operation('__rsub__', 'rsub')
def rsub(graph: GraphBuilder, output: Tensor, x: Any, y: Any) -> Signal:
    """``y - x``."""
    return sub(graph, output, y, x)


@operation('mul', '__mul__', '__rmul__')
def mul(graph: GraphBuilder, output: Tensor, x: Any, y: Any) -> Signal:
    """A product of a signal and constants."""
    if isinstance(x, Signal) and isinstance(y, Signal):
        raise NotHeldError('a product of two signals')
    x, y = (x, y) if isinstance(x, Signal) else (y, x)
    return _affine(graph, x, per_channel(y, x), 0.0)


@operation('div', '__truediv__')
def div(graph: GraphBuilder, output: Tensor, x: Any, y: Any) -> Signal:
    """A signal divided by constants."""
    if not isinstance(x, Signal) or isinstance(y, Signal):
        raise NotHeldError('a division by a signal')
    return _affine(graph, x, 1 / per_channel(y, x), 0.0)


def _affine(graph: GraphBuilder, x: Signal, scale: Any, shift: Any) -> Signal:
    if len(x.shape) != 3:
        raise NotHeldError('a constant factor or summand on other than maps')
    return graph.norm(x, scale, shift)


def per_channel(constant: Union[float, Tensor], x: Signal) -> Union[float, np.ndarray]:
    """A number, or one for each channel of a map."""
    if not isinstance(constant, Tensor):
        return float(constant)
    values = numbers(constant)
    if values.size == 1:
        return values.item()
    shape = values.shape[-3:]
    if values.size != x.shape[0] or shape != (x.shape[0], 1, 1):
        raise NotHeldError(f'constants of the shape {tuple(constant.shape)}, which are not one per channel')
    return values.reshape(-1)

