"""Spiking classifiers."""
from .spiking_classifier import SpikingClassifier

__all__ = ['SpikingClassifier']
