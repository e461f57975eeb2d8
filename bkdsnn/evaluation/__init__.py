"""What a network costs, and what it answers over time."""
from .complexity import Complexity, input_shape_of, measure_complexity
from .over_time import (
    EarlyExit,
    OverTime,
    accuracy_over_time,
    calibrate_early_exit,
    early_exit,
    exit_steps,
    running_scores,
    scores_at,
)

__all__ = [
    'Complexity', 'EarlyExit', 'OverTime', 'accuracy_over_time', 'calibrate_early_exit', 'early_exit', 'exit_steps',
    'input_shape_of', 'measure_complexity', 'running_scores', 'scores_at'
]
