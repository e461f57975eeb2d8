"""What the targets of a task are: one adapter per file."""
from .classification import ClassificationTask

__all__ = ['ClassificationTask']
