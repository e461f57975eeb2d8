"""Stages of student and teacher, side by side."""
from typing import List, Tuple, Union

from torch import Tensor

from ..layers import full_precision, time_mean
from .maps import spatial_map


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
