"""Spiking backbones, one family per file."""
from .meta_spikeformer import MetaSpikeFormer
from .qkformer import QKFormer
from .sew_dvs_net import SEWDVSNet
from .sew_resnet import SEWResNet
from .spikformer import Spikformer
from .spikingformer import Spikingformer

__all__ = ['MetaSpikeFormer', 'QKFormer', 'SEWDVSNet', 'SEWResNet', 'Spikformer', 'Spikingformer']
