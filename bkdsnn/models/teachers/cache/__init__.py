"""What a teacher says of batches that come again, kept on disk."""
from .cache import TeacherCache

__all__ = ['TeacherCache']
