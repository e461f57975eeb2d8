"""Data sets and their transforms."""
from .digits import Digits

__all__ = ['Digits']
