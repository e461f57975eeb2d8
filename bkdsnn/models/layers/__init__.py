"""Layers that spiking backbones are made of."""
from .connect import SEW_CONNECT
from .conv_unit import SpikingConvUnit
from .norm import SyncBatchNorm, build_norm
from .time import over_time, time_mean

__all__ = ['SEW_CONNECT', 'SpikingConvUnit', 'SyncBatchNorm', 'build_norm', 'over_time', 'time_mean']
