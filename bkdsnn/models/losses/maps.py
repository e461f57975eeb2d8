"""What several methods compute of feature maps (B, C, H, W)."""
import math
from typing import Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..layers import full_precision


def feature_distance(student: Tensor, teacher: Tensor, reduction: str) -> Tensor:
    """Squared distance of two features (B, ...).

    Returns:
        Scalar: for ``'sum'`` the sum over all but the batch, averaged over the batch; for ``'mean'`` the mean over
        everything, which is the former divided by C*H*W.
    """
    student, teacher = full_precision(student), full_precision(teacher)
    # One may be more precise than the other; older PyTorch takes no gradient of a mixture.
    dtype = torch.promote_types(student.dtype, teacher.dtype)
    distance = F.mse_loss(student.to(dtype), teacher.to(dtype), reduction=reduction)
    return distance / student.shape[0] if reduction == 'sum' else distance


def as_map(feature: Tensor) -> Tensor:
    """A map (B, C, H, W), which may be given as the tokens (B, N, C) of a vision transformer on a square image.

    Of N = 1 + H*H tokens the first is the class token and is dropped; of H*H tokens, there is none.

    Raises:
        ValueError: If it is neither.
    """
    if feature.dim() == 4:
        return feature
    number = feature.shape[1] if feature.dim() == 3 else 0
    size = math.isqrt(number)
    if number < 2 or number - size**2 > 1:
        raise ValueError(f'a feature {tuple(feature.shape)} is no map: that takes (B, C, H, W), or the tokens (B, N, '
                         'C) of a square image with N = H*H or 1 + H*H. Name another module.')
    return feature[:, number - size**2:].mT.unflatten(-1, (size, size))


def pool_alike(student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
    """Two maps (..., H, W) and (..., H', W') at the smaller height and width, by adaptive average pooling."""
    size = tuple(map(min, student.shape[-2:], teacher.shape[-2:]))
    return tuple(x if x.shape[-2:] == size else F.adaptive_avg_pool2d(x, size) for x in (student, teacher))


def attention_maps(student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
    """Means over the channels of the squares of two maps (B, C, H, W) and (B, C', H', W'), as vectors of length 1.

    Where sizes differ they are pooled as in :func:`pool_alike`. A map of zeros stays zero.
    """
    energies = pool_alike(*(full_precision(x).square().mean(1) for x in (student, teacher)))
    return tuple(F.normalize(energy.flatten(1), dim=1) for energy in energies)
