"""What a network costs, and what it answers over time."""
from .complexity import Complexity, input_shape_of, measure_complexity
from .energy import LayerCost, NetworkCost, NeuronActivity
from .over_time import (
    EarlyExit,
    OverTime,
    accuracy_over_time,
    calibrate_early_exit,
    early_exit,
    exit_steps,
    running_scores,
    scores_at,
    stack_steps,
)
from .over_time_metric import AccuracyOverTime
from .synops import measure_synops

__all__ = [
    'AccuracyOverTime', 'Complexity', 'EarlyExit', 'LayerCost', 'NetworkCost', 'NeuronActivity', 'OverTime',
    'accuracy_over_time', 'calibrate_early_exit', 'early_exit', 'exit_steps', 'input_shape_of', 'measure_complexity',
    'measure_synops', 'running_scores', 'scores_at', 'stack_steps'
]
