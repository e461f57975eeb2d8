"""Maps (B, C, H, W) of what networks give in other shapes."""
import math
from typing import List, Tuple, Union

from torch import Tensor

from ..layers import full_precision, time_mean


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


def stage_maps(student: Union[Tensor, List[Tensor]], teacher: Union[Tensor, List[Tensor]]
               ) -> List[Tuple[Tensor, Tensor]]:
    """Time means of student and teacher as maps, stage by stage, in full precision; the teacher's without a gradient.

    Args:
        student: A feature (T, B, ...), or one of each stage.
        teacher: Likewise, as many.

    Raises:
        ValueError: If there are not as many, or one is no map, see :func:`spatial_map`.
    """
    student, teacher = as_list(student), as_list(teacher)
    if len(student) != len(teacher):
        raise ValueError(f'{len(student)} stages of the student cannot be compared with {len(teacher)} of the teacher; '
                         'name as many of both (model.losses.*.student, .teacher), shallow to deep.')
    return [(full_precision(spatial_map(time_mean(s), f"the student's stage {i}")),
             full_precision(spatial_map(time_mean(t).detach(), f"the teacher's stage {i}")))
            for i, (s, t) in enumerate(zip(student, teacher))]


def as_list(one_or_more: object) -> list:
    """A list or tuple as a list, anything else as a list of one."""
    return list(one_or_more) if isinstance(one_or_more, (list, tuple)) else [one_or_more]
