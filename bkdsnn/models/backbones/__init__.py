"""Spiking backbones, one family per file."""
from .sew_resnet import SEWResNet
from .spikingformer import Spikingformer

__all__ = ['SEWResNet', 'Spikingformer']
