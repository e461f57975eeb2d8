"""Layers that spiking backbones are made of."""
from .connect import SEW_CONNECT
from .conv_unit import SpikingConvUnit
from .norm import build_norm, sync_batch_norm
from .time import over_time, time_mean

__all__ = ['SEW_CONNECT', 'SpikingConvUnit', 'build_norm', 'over_time', 'sync_batch_norm',
           'time_mean']
