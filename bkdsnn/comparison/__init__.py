"""Methods on one pair of student and teacher: tuned alike, trained with the same seeds, in one table."""
from .plan import Plan
from .table import Standings

__all__ = ['Plan', 'Standings']
