"""What a teacher says of a batch, as bytes."""
import math
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ...layers import mark_time

DTYPES = ('float32', 'float16')


@dataclass(frozen=True)
class StoredTap:
    """How the features at one place of the teacher are kept.

    In fp32 they come back bit for bit, and in the same order of memory, in which sums would otherwise round in another
    way. In fp16 they are rounded. Of logits, the ``top_k`` largest can be kept alone: the others come back as one
    number, which leaves the sum of their probabilities as it was.

    Attributes:
        path: Of the teacher's module.
        shape: Of one sample: (C, H, W), with time (T, C, H, W), or whatever it is.
        has_time: Whether the first axis is time.
        dtype: ``'float32'`` or ``'float16'``.
        top_k: How many logits are kept, or ``None`` for all.
    """

    path: str
    shape: Tuple[int, ...]
    has_time: bool
    dtype: str = 'float32'
    top_k: Optional[int] = None

    @classmethod
    def of(cls, path: str, feature: Tensor, dtype: str, top_k: Optional[int] = None) -> 'StoredTap':
        """Of the feature (1, ...) or (T, 1, ...) of a single sample.

        Raises:
            ValueError: If there are no more than ``top_k`` logits.
        """
        axis = int(feature.has_time)
        shape = tuple(feature.shape[:axis] + feature.shape[axis + 1:])
        if top_k is not None and top_k >= shape[-1]:
            raise ValueError(f'model.teacher_cache.top_k={top_k} must be less than the {shape[-1]} logits that the '
                             f'teacher has at {path!r}. Set it to None to keep them all.')
        return cls(path, shape, feature.has_time, dtype, top_k)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        size = np.dtype(self.dtype).itemsize
        if self.top_k is None:
            return math.prod(self.shape) * size
        return math.prod(self.shape[:-1]) * ((self.top_k + 1) * size + self.top_k * 4)

    def batch_shape(self, samples: int) -> Tuple[int, ...]:
        """(B, ...) or (T, B, ...)."""
        axis = int(self.has_time)
        return (*self.shape[:axis], samples, *self.shape[axis:])

    def pack(self, feature: Tensor, samples: int) -> Tuple[np.ndarray, int]:
        """Bytes of the features of a batch, and the order of their axes in memory as a number.

        Raises:
            ValueError: If the features are of another shape than they were when the cache was made, or beyond the range
                of fp16.
        """
        if tuple(feature.shape) != self.batch_shape(samples) or feature.dtype is torch.float64:
            raise ValueError(f'teacher cache: the teacher gives {tuple(feature.shape)} in {feature.dtype} at '
                             f'{self.path!r}, but the cache holds {self.batch_shape(samples)} in {self.dtype} for a '
                             'batch like this. Drop model.teacher_cache.')
        feature = feature.detach().cpu()
        if self.top_k is not None:
            values, indices = feature.topk(self.top_k, -1)
            others = feature.scatter(-1, indices, -math.inf).logsumexp(-1, keepdim=True)
            values = torch.cat([values, others - math.log(self.shape[-1] - self.top_k)], -1)
            return np.concatenate([_bytes(self._narrow(values)), _bytes(indices.int())]), 0
        # The outermost axis first; of equal strides, as of axes of length 1, in the order that they have.
        order = sorted(range(feature.dim()), key=lambda axis: -feature.stride(axis))
        return _bytes(self._narrow(feature.permute(order).contiguous())), _number_of(order)

    def _narrow(self, values: Tensor) -> Tensor:
        narrow = values.to(getattr(torch, self.dtype))
        if self.dtype == 'float16' and bool((narrow.isinf() & values.isfinite()).any()):
            raise ValueError(f'teacher cache: at {self.path!r} the teacher gives numbers up to '
                             f"{values.abs().max():g}, which float16 does not hold. Set "
                             "model.teacher_cache.dtype='float32'.")
        return narrow

    def unpack(self, content: np.ndarray, samples: int, order: int) -> Tensor:
        """The features in fp32; ``content`` is theirs from now on."""
        shape = self.batch_shape(samples)
        if self.top_k is not None:
            lead, size = math.prod(shape[:-1]), np.dtype(self.dtype).itemsize
            split = lead * (self.top_k + 1) * size
            values = torch.from_numpy(content[:split].view(self.dtype)).float().view(*shape[:-1], -1)
            indices = torch.from_numpy(content[split:].view(np.int32)).long().view(*shape[:-1], -1)
            full = values[..., -1:].expand(shape).scatter(-1, indices, values[..., :-1])
            return mark_time(full, self.has_time)
        axes = _axes_of(order, len(shape))
        feature = torch.from_numpy(content.view(self.dtype)).view([shape[axis] for axis in axes])
        return mark_time(feature.permute([axes.index(axis) for axis in range(len(axes))]).float(), self.has_time)


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy().reshape(-1).view(np.uint8)


def _number_of(order: Sequence[int]) -> int:
    """An order of axes as one number, three bits for each."""
    return sum(axis << 3 * place for place, axis in enumerate(order))


def _axes_of(number: int, dim: int) -> List[int]:
    return [number >> 3 * place & 7 for place in range(dim)]
