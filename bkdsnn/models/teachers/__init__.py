"""Frozen teachers."""
from .cache import TeacherCache
from .ensemble import TeacherEnsemble
from .frozen_teacher import FrozenTeacher

__all__ = ['FrozenTeacher', 'TeacherCache', 'TeacherEnsemble']
