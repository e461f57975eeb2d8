"""Batch norms joined with the convolutions before them, for inference."""
import copy
from typing import List, Union

import numpy as np
import torch
from torch import Tensor, nn

from .conv_unit import SpikingConvUnit
from .norm import NormAndPad, affine_of, has_running_statistics

Array = Union[Tensor, np.ndarray]


def join(weight: Array, bias: Array, scale: Array, shift: Array) -> tuple:
    """Weight (C', C / groups, k, k) and bias (C', ) of a convolution after whose output comes ``x * scale + shift``."""
    return weight * scale[:, None, None, None], bias * scale + shift


def fuse_conv_bn(model: nn.Module) -> nn.Module:
    """A copy of a network for inference, whose batch norms are part of the convolutions before them.

    Which norm follows which convolution is known from the order of each :class:`SpikingConvUnit`, not guessed from the
    order of children, as ``mmcv.cnn.fuse_conv_bn`` does. Logits are the same up to rounding, so that in fp32 a membrane
    next to the threshold may spike or not. Norms outside of units, as in modules of your own, stay.

    Args:
        model: A network in eval mode; it is left as it is.

    Raises:
        ValueError: If the network is in training mode, has no such unit, or a unit's norm depends on its input.
    """
    if model.training:
        raise ValueError('fuse_conv_bn: norms that learn cannot be joined with convolutions; call model.eval() first.')
    model = copy.deepcopy(model)
    units = [(path, unit) for path, unit in model.named_modules() if isinstance(unit, SpikingConvUnit)]
    if not units:
        raise ValueError(f'fuse_conv_bn: {type(model).__name__} has no SpikingConvUnit; for an ANN take '
                         'mmcv.cnn.fuse_conv_bn.')
    for path, unit in units:
        if ('conv', 'norm') not in zip(unit.order, unit.order[1:]):
            continue
        convs: List[nn.Conv2d] = []
        for layer in [*(unit.conv if isinstance(unit.conv, nn.Sequential) else [unit.conv]), unit.norm]:
            if isinstance(layer, nn.Conv2d):
                convs.append(layer)
            elif not convs or not _join_into(convs[-1], layer):
                raise ValueError(f'fuse_conv_bn: {path} has a {type(layer).__name__} that cannot be joined with the '
                                 'convolution before it; only batch norms with running statistics can.')
        unit.conv = convs[0] if len(convs) == 1 else nn.Sequential(*convs)
        unit.drop_norm()
    return model


def _join_into(conv: nn.Conv2d, layer: nn.Module) -> bool:
    """Make a convolution do what the layer after it does, if that can be."""
    norm = layer.norm if isinstance(layer, NormAndPad) else layer
    if not has_running_statistics(norm):
        return False
    if norm is not layer:
        if conv.bias is not None or conv.kernel_size != (1, 1) or conv.padding != (0, 0):
            return False
        # The border, which the norm makes of zeros, is what the joined convolution makes of zeros: its bias.
        conv.padding = (1, 1)
    scale, shift = (v.double() for v in affine_of(norm))
    bias = torch.zeros_like(shift) if conv.bias is None else conv.bias.detach().double()
    weight, bias = join(conv.weight.detach().double(), bias, scale, shift)
    dtype, needs_grad = conv.weight.dtype, conv.weight.requires_grad
    conv.weight, conv.bias = (nn.Parameter(v.to(dtype), requires_grad=needs_grad) for v in (weight, bias))
    return True
