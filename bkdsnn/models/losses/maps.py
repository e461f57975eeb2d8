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


def spatial_map(feature: Tensor, name: str = 'the feature') -> Tensor:
    """A feature without time as a map (B, C, H, W).

    Args:
        feature: A map, which passes unchanged, or a vision transformer's tokens of a square grid, row by row: (B, N,
            C), or (B, 1 + N, C) with a class token in front, which is dropped.
        name: What to call it in the error.

    Raises:
        ValueError: If it is neither.
    """
    if feature.dim() == 4:
        return feature
    if feature.dim() == 3:
        for dropped in (0, 1):  # N and 1 + N are not both squares
            tokens = feature.shape[1] - dropped
            side = math.isqrt(max(tokens, 0))
            if side > 0 and side**2 == tokens:
                return feature[:, dropped:].mT.unflatten(-1, (side, side))
    raise ValueError(f'{name} has shape {tuple(feature.shape)}, which is no map (B, C, H, W), nor tokens (B, N, C) or '
                     '(B, 1 + N, C) of a square grid of N. Name another module (model.losses.*.student, .teacher).')


def pool_alike(student: Tensor, teacher: Tensor) -> Tuple[Tensor, Tensor]:
    """Two maps (..., H, W) and (..., H', W') at the smaller height and width, by adaptive average pooling."""
    size = tuple(map(min, student.shape[-2:], teacher.shape[-2:]))
    return tuple(x if x.shape[-2:] == size else F.adaptive_avg_pool2d(x, size) for x in (student, teacher))


def attention_maps(student: Tensor, teacher: Tensor, p: float = 2.0) -> Tuple[Tensor, Tensor]:
    """Where two maps (B, C, H, W) and (B, C', H', W') attend to: ``mean_c abs(f)**p``, as vectors of length 1.

    Where sizes differ they are pooled as in :func:`pool_alike`. A map of zeros stays zero.
    """
    return tuple(F.normalize(full_precision(x).abs().pow(p).mean(1).flatten(1), dim=1)
                 for x in pool_alike(student, teacher))
