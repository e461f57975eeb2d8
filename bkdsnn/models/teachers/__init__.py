"""Frozen teachers."""
from .ensemble import TeacherEnsemble
from .frozen_teacher import FrozenTeacher

__all__ = ['FrozenTeacher', 'TeacherEnsemble']
