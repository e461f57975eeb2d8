"""Random numbers per sample that do not depend on how the batch is spread over processes."""
import torch
from mmengine.dist import get_dist_info
from torch import Tensor


def uniform_per_sample(samples: int, *shape: int, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), shape (samples, ``*shape``).

    They are drawn for the samples of all processes and each takes its own, so processes that share a seed get
    independent numbers, and the run equals that of one process with the whole batch.
    """
    rank, world = get_dist_info()
    return torch.rand(samples * world, *shape, device=device)[rank::world]


def normal_per_sample(samples: int, *shape: int, device: torch.device) -> Tensor:
    """Standard normal numbers, shape (samples, ``*shape``); see :func:`uniform_per_sample`."""
    rank, world = get_dist_info()
    return torch.randn(samples * world, *shape, device=device)[rank::world]
