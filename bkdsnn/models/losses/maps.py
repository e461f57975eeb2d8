"""Maps (B, C, H, W) of what networks give in other shapes."""
import math

from torch import Tensor


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
