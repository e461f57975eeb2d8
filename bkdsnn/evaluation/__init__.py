"""What a network costs."""
from .complexity import Complexity, input_shape_of, measure_complexity

__all__ = ['Complexity', 'input_shape_of', 'measure_complexity']
