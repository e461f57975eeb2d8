"""Batch norm whose statistics are shared by all processes, on GPUs and on CPUs."""
from contextlib import contextmanager
from typing import Dict, Tuple

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from mmengine.model.utils import _BatchNormXd
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from bkdsnn.registry import MODELS

from .precision import full_precision
from .recompute import current_chunk, is_recomputing, learns_once


class CPUSyncBatchNorm2d(nn.BatchNorm2d):
    """Synchronised batch norm for CPU processes, where PyTorch has none.

    In one process, and in eval mode, it is ``nn.BatchNorm2d``. Processes must hold equal numbers of samples, as
    mmengine's sampler gives them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if not self.training or world == 1:
            return super().forward(x)
        given, x = x.dtype, full_precision(x)
        mean = all_reduce(x.mean((0, 2, 3), keepdim=True)) / world
        centred = x - mean
        var = all_reduce(centred.square().mean((0, 2, 3), keepdim=True)) / world
        self._update_running(mean.detach().flatten(), var.detach().flatten(), world * x.numel() // x.shape[1])
        y = centred * torch.rsqrt(var + self.eps)
        return (y * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1) if self.affine else y).to(given)

    def _update_running(self, mean: Tensor, var: Tensor, count: int) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * count / max(count - 1, 1), momentum)


@MODELS.register_module('SyncBN')
def sync_batch_norm(num_features: int, **kwargs) -> nn.Module:
    """``nn.SyncBatchNorm`` where there are GPUs, :class:`CPUSyncBatchNorm2d` elsewhere; the same weights fit both."""
    return (nn.SyncBatchNorm if torch.cuda.is_available() else CPUSyncBatchNorm2d)(num_features, **kwargs)


def build_norm(cfg: dict, num_features: int) -> nn.Module:
    """Norm layer from ``dict(type='BN' | 'SyncBN' | ..., **arguments)``."""
    return MODELS.build(dict(cfg, num_features=num_features))


def is_local_batch_norm(norm: nn.Module) -> bool:
    """Whether a norm is PyTorch's batch norm with statistics of this process alone.

    ``SyncBN`` is, where there is one process, and so is what mmengine's runner then makes of it on a GPU. Over several
    processes neither ``SyncBN`` nor ``sync_bn='torch'`` is. Batch norms without weights, without running statistics, or
    with a cumulative average of these count as others.
    """
    synchronised = (nn.SyncBatchNorm, CPUSyncBatchNorm2d) if get_world_size() == 1 else ()
    return (type(norm) in (nn.BatchNorm2d, _BatchNormXd, *synchronised)
            and norm.affine and norm.track_running_stats and norm.momentum is not None)


def has_running_statistics(norm: nn.Module) -> bool:
    """Whether a norm is in eval mode a fixed affine function of each channel: a batch norm of whatever kind."""
    return isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.track_running_stats


def affine_of(norm: nn.modules.batchnorm._BatchNorm) -> Tuple[Tensor, Tensor]:
    """Constants ``scale`` and ``shift``, both (C, ): a batch norm in eval mode is ``x * scale + shift``."""
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = norm.weight.detach() * scale
    shift = -norm.running_mean * scale
    return scale, norm.bias.detach() + shift if norm.affine else shift


class NormAndPad(nn.Module):
    """Batch norm, then a border of what the norm makes of zeros.

    So the convolution without bias before it and this can be folded into one with zero padding at inference.

    Args:
        channels: Channels of the input.
        norm: Config of the norm layer.
    """

    def __init__(self, channels: int, norm: dict) -> None:
        super().__init__()
        self.norm = build_norm(norm, channels)
        self._borders: Dict[int, Tensor] = {}

    def _border(self) -> Tensor:
        """What the norm makes of zeros, (C, ): of the same running statistics when it is recomputed."""
        chunk = current_chunk()
        if chunk is not None and is_recomputing():
            return self._borders[chunk]  # other chunks have moved the statistics since
        border = affine_of(self.norm)[1]
        if chunk is not None:
            self._borders[chunk] = border
        return border

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + 2, W + 2)."""
        with learns_once(self.norm):
            y = self.norm(x)
        border = self._border()
        padded = border.to(y.dtype).view(1, -1, 1, 1).repeat(y.shape[0], 1, y.shape[2] + 2, y.shape[3] + 2)
        padded[..., 1:-1, 1:-1] = y
        return padded


@contextmanager
def count_repeats(norm: nn.Module, x: Tensor, repeats: int):
    """Inside the block ``norm`` runs once on an ``x`` that stands for ``repeats`` equal copies of itself.

    The copies change nothing but the unbiased running variance, which divides by n - 1: networks whose authors repeat
    the image before the first norm have counted every pixel ``repeats`` times.
    """
    running = getattr(norm, 'running_var', None)
    if not norm.training or running is None or norm.momentum is None:
        yield
        return
    before = running.clone()
    yield
    synchronised = isinstance(norm, (nn.SyncBatchNorm, CPUSyncBatchNorm2d)) and dist.is_initialized()
    n = x.numel() // x.shape[2] * (dist.get_world_size() if synchronised else 1)
    factor = repeats * (n - 1) / (repeats * n - 1)
    # running = (1 - momentum) * before + momentum * variance; only the variance is scaled.
    kept = (1 - norm.momentum) * before
    # Past autograd's version counter: batch norm saves the tensor, though a training step's backward does not read it.
    running.data.copy_(kept + (running - kept) * factor)
