"""Layers that spiking backbones are made of."""
from .attention import (
    DropPath,
    SpikingMLP,
    SpikingSelfAttention,
    SpikingTransformerBlock,
    attend,
    build_attention_neuron,
    drop_path_rates,
)
from .block import Block, checkpoint_blocks_in
from .connect import SEW_CONNECT
from .conv_unit import PARTS, SPIKE_FIRST, DepthwiseConvUnit, SpikingConvUnit, static_or_events
from .fuse import fuse_conv_bn
from .norm import NormAndPad, build_norm, count_repeats, sync_batch_norm
from .precision import full_precision
from .random_draws import normal_per_sample, uniform_per_sample
from .recompute import is_recomputing, learns_once
from .residual import LayerScale, ResidualBlock
from .sizes import check_size
from .sparse_conv import SpikeConv2d, skip_zeros_in, skipping_zeros
from .time_axis import channels_last, expand_time, has_time_axis, mark_time, over_time, time_mean
from .tokenizer import SpikingTokenizer
from .unfold import Unfolding, unfold_layers

__all__ = ['Block', 'DepthwiseConvUnit', 'DropPath', 'LayerScale', 'NormAndPad', 'PARTS', 'ResidualBlock',
           'SEW_CONNECT', 'SPIKE_FIRST', 'SpikeConv2d', 'SpikingConvUnit', 'SpikingMLP', 'SpikingSelfAttention',
           'SpikingTokenizer', 'SpikingTransformerBlock', 'Unfolding', 'attend', 'build_attention_neuron',
           'build_norm', 'channels_last', 'check_size', 'checkpoint_blocks_in', 'count_repeats', 'drop_path_rates',
           'expand_time', 'full_precision', 'fuse_conv_bn', 'has_time_axis', 'is_recomputing', 'learns_once',
           'mark_time', 'normal_per_sample', 'over_time', 'skip_zeros_in', 'skipping_zeros', 'static_or_events',
           'sync_batch_norm', 'time_mean', 'unfold_layers', 'uniform_per_sample']
