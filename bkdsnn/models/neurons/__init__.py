"""Spiking neurons and their surrogate gradients."""
from .nodes import BaseNode, IFNode, LIFNode, ParametricLIFNode
from .surrogate import Surrogate

__all__ = ['BaseNode', 'IFNode', 'LIFNode', 'ParametricLIFNode', 'Surrogate']
