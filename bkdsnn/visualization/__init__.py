"""Pictures and pages made from runs."""
from .visualizer import SpikeVisualizer

__all__ = ['SpikeVisualizer']
