"""Spiking neurons and their surrogate gradients."""
from .base import SpikingNode
from .gated import CLIFNode, GLIFNode
from .integer import ILIFNode, IntegerNode, NILIFNode, SFANode
from .nodes import BaseNode, IFNode, LIFNode, ParametricLIFNode, StepNode
from .parallel import MaskedPSNNode, PSNNode, SlidingPSNNode
from .surrogate import Surrogate

__all__ = ['BaseNode', 'CLIFNode', 'GLIFNode', 'IFNode', 'ILIFNode', 'IntegerNode', 'LIFNode', 'MaskedPSNNode',
           'NILIFNode', 'PSNNode', 'ParametricLIFNode', 'SFANode', 'SlidingPSNNode', 'SpikingNode', 'StepNode',
           'Surrogate']
