"""What several methods compute of feature maps (B, C, H, W)."""
import math
from typing import Tuple, Union

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
    return tuple(x if x.shape[-2:] == size else pool_to(x, size) for x in (student, teacher))


def pool_to(x: Tensor, size: Union[int, Tuple[int, int]]) -> Tensor:
    """Maps (B, C, H, W) at another height and width, by adaptive average pooling.

    Its gradient on a GPU is summed in any order; with ``deterministic=True`` two products of matrices take its place.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.adaptive_avg_pool2d(x, size)
    height, width = (size, size) if isinstance(size, int) else size
    with torch.autocast(x.device.type, enabled=False):  # which pools in the map's own precision, and multiplies in less
        return _averaging(x.shape[-2], height, x) @ x @ _averaging(x.shape[-1], width, x).T


def _averaging(length: int, parts: int, like: Tensor) -> Tensor:
    """The matrix (parts, length) that averages as adaptive pooling along one side does."""
    matrix = like.new_zeros(parts, length)
    for part in range(parts):
        begin, end = part * length // parts, -(-(part + 1) * length // parts)
        matrix[part, begin:end] = 1 / (end - begin)
    return matrix


def attention_maps(student: Tensor, teacher: Tensor, p: float = 2.0) -> Tuple[Tensor, Tensor]:
    """Where two maps (B, C, H, W) and (B, C', H', W') attend to: ``mean_c abs(f)**p``, as vectors of length 1.

    Where sizes differ they are pooled as in :func:`pool_alike`. A map of zeros stays zero.
    """
    return tuple(F.normalize(full_precision(x).abs().pow(p).mean(1).flatten(1), dim=1)
                 for x in pool_alike(student, teacher))
