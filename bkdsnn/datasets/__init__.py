"""Data sets and their transforms."""
from bkdsnn.utils import quiet  # noqa: F401  first, as it imports mmpretrain without its noise

from .digits import Digits

__all__ = ['Digits']
