"""One self-contained page, and one picture, about runs."""
from .page import Report, write_report

__all__ = ['Report', 'write_report']
