"""Spiking backbones, one family per file."""
from .e_spikeformer import ESpikeFormer
from .max_resnet import MaxResNet
from .maxformer import MaxFormer
from .meta_spikeformer import MetaSpikeFormer
from .qkformer import QKFormer
from .sew_dvs_net import SEWDVSNet
from .sew_resnet import SEWResNet
from .spikformer import Spikformer
from .spikingformer import Spikingformer

__all__ = ['ESpikeFormer', 'MaxFormer', 'MaxResNet', 'MetaSpikeFormer', 'QKFormer', 'SEWDVSNet', 'SEWResNet',
           'Spikformer', 'Spikingformer']
