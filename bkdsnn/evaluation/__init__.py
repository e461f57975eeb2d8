"""What a network costs, what it answers over time, and how near it is to its teacher."""
from .cka import FeatureSimilarity, linear_cka
from .complexity import Complexity, input_shape_of, measure_complexity
from .energy import LayerCost, NetworkCost, NeuronActivity
from .gradients import GradientShare, gradient_shares
from .memory import MemoryPlan, MemoryPlanner, largest_batch
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
from .scaling import Scale, plan_scales, repeated_epochs
from .synops import measure_synops

__all__ = [
    'AccuracyOverTime', 'Complexity', 'EarlyExit', 'FeatureSimilarity', 'GradientShare', 'LayerCost', 'MemoryPlan',
    'MemoryPlanner', 'NetworkCost', 'NeuronActivity', 'OverTime', 'Scale', 'accuracy_over_time', 'calibrate_early_exit',
    'early_exit', 'exit_steps', 'gradient_shares', 'input_shape_of', 'largest_batch', 'linear_cka',
    'measure_complexity', 'measure_synops', 'plan_scales', 'repeated_epochs', 'running_scores', 'scores_at',
    'stack_steps'
]
