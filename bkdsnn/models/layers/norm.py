"""Batch norm whose statistics are shared by all processes, on GPUs and on CPUs."""
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from bkdsnn.registry import MODELS


@MODELS.register_module('SyncBN')
class SyncBatchNorm(nn.SyncBatchNorm):
    """``nn.SyncBatchNorm`` that also runs on CPU processes, where PyTorch's refuses to.

    Equal numbers of samples per process are assumed on the CPU, as mmengine's sampler gives them.
    """

    def forward(self, x: Tensor) -> Tensor:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size(self.process_group) > 1
        if x.device.type != 'cpu' or not (self.training and several):
            return super().forward(x)
        dims = [d for d in range(x.dim()) if d != 1]
        world = dist.get_world_size(self.process_group)
        mean = all_reduce(x.mean(dims), group=self.process_group) / world
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        centred = x - mean.view(shape)
        var = all_reduce(centred.square().mean(dims), group=self.process_group) / world
        self._update_running(mean.detach(), var.detach(), world * x.numel() // x.shape[1])
        y = centred * torch.rsqrt(var + self.eps).view(shape)
        return y * self.weight.view(shape) + self.bias.view(shape) if self.affine else y

    def _update_running(self, mean: Tensor, var: Tensor, count: int) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * count / max(count - 1, 1), momentum)


def build_norm(cfg: dict, num_features: int) -> nn.Module:
    """Norm layer from ``dict(type='BN' | 'SyncBN' | ..., **arguments)``."""
    return MODELS.build(dict(cfg, num_features=num_features))


__all__ = ['SyncBatchNorm', 'build_norm']
