"""Pictures and pages made from runs."""
from .local_backend import LocalVisBackend
from .visualizer import SpikeVisualizer

__all__ = ['LocalVisBackend', 'SpikeVisualizer']
