"""What the targets of a task are: one adapter per file."""
from .base import Task
from .classification import ClassificationTask

__all__ = ['ClassificationTask', 'Task']
