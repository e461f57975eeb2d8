"""Distillation: the recorder of features and the model that trains student and losses together."""
from .distiller import Distiller
from .recorder import FeatureRecorder

__all__ = ['Distiller', 'FeatureRecorder']
