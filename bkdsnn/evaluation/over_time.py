"""What a spiking network answers after each time step, and when it may stop."""
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor


def stack_steps(step_logits: Sequence[Optional[Tensor]]) -> Tensor:
    """Logits (T, N, K) of N predictions from the ``step_logits`` (T, K) of each.

    Raises:
        ValueError: If predictions have none, as those of an ANN, or differ in T.
    """
    if any(logits is None for logits in step_logits):
        raise ValueError('the predictions hold no step_logits, which a spiking network with SpikingLinearHead gives. '
                         'An ANN has no time steps, so there is no accuracy over time: leave AccuracyOverTime out of '
                         'its val_evaluator and test_evaluator.')
    lengths = sorted({len(logits) for logits in step_logits})
    if len(lengths) > 1:
        raise ValueError(f'the samples differ in the number of time steps: {lengths}. Give all of them the same number '
                         'of frames in the data pipeline.')
    return torch.stack([logits.cpu() for logits in step_logits], 1)


def running_scores(logits: Tensor) -> Tensor:
    """Class probabilities after each step: softmax of the mean logits of steps 1 to t.

    Args:
        logits: Of each step, (T, B, K).

    Returns:
        (T, B, K); the last ones are the network's prediction.
    """
    steps = torch.arange(1, len(logits) + 1, device=logits.device).view(-1, 1, 1)
    return (logits.cumsum(0) / steps).softmax(-1)


def exit_steps(scores: Tensor, threshold: float) -> Tensor:
    """How many steps each sample takes: up to the first whose highest probability reaches the threshold, else all.

    Args:
        scores: Running class probabilities (T, B, K).
        threshold: Confidence at which to stop; above 1 nothing stops early.

    Returns:
        Numbers from 1 to T, (B, ).
    """
    is_sure = scores.amax(-1) >= threshold
    is_sure[-1] = True
    return is_sure.int().argmax(0) + 1


def scores_at(scores: Tensor, steps: Tensor) -> Tensor:
    """Running class probabilities (B, K) of (T, B, K) after each sample's own number of steps (B, )."""
    return scores[steps - 1, torch.arange(scores.shape[1], device=scores.device)]


@dataclass(frozen=True)
class OverTime:
    """Answers over time on a data set.

    Attributes:
        accuracy: In percent after 1 to T steps, (T, ).
        agreement: Share of samples in percent that get the same answer after t and after t' steps, (T, T).
    """

    accuracy: Tensor
    agreement: Tensor


def accuracy_over_time(scores: Tensor, labels: Tensor) -> OverTime:
    """Accuracy after each step, and agreement between steps, from one pass.

    Args:
        scores: Running class probabilities (T, B, K).
        labels: (B, ).
    """
    answers = scores.argmax(-1)
    accuracy = 100 * (answers == labels).double().mean(1)
    agreement = 100 * (answers[:, None] == answers[None]).double().mean(-1)
    return OverTime(accuracy, agreement)


@dataclass(frozen=True)
class EarlyExit:
    """What stopping at a confidence gives on a data set.

    Attributes:
        threshold: Confidence at which a sample stops.
        accuracy: In percent.
        mean_steps: Steps that a sample takes on average.
    """

    threshold: float
    accuracy: float
    mean_steps: float


def early_exit(scores: Tensor, labels: Tensor, threshold: float) -> EarlyExit:
    """Accuracy and mean number of steps with a threshold.

    Args:
        scores: Running class probabilities (T, B, K).
        labels: (B, ).
        threshold: As in :func:`exit_steps`.
    """
    steps = exit_steps(scores, threshold)
    accuracy = 100 * (scores_at(scores, steps).argmax(-1) == labels).double().mean()
    return EarlyExit(threshold, accuracy.item(), steps.double().mean().item())


def calibrate_early_exit(scores: Tensor, labels: Tensor, max_drop: float = 0.0) -> EarlyExit:
    """The threshold that takes the fewest steps without losing more accuracy than allowed, on validation data.

    Args:
        scores: Running class probabilities (T, B, K).
        labels: (B, ).
        max_drop: Accuracy that may be lost against taking all steps, in percentage points.

    Raises:
        ValueError: If there are no samples, or ``max_drop`` is negative.
    """
    if not len(labels):
        raise ValueError('early exit is calibrated on at least one sample, got none.')
    if not max_drop >= 0:
        raise ValueError(f'max_drop={max_drop} must be at least 0 percentage points.')
    enough = early_exit(scores, labels, float('inf')).accuracy - max_drop
    # Between two confidences that occur nothing changes; the lowest takes one step everywhere.
    for threshold in _candidates(scores):
        result = early_exit(scores, labels, threshold)
        if result.accuracy >= enough - 1e-9:
            return result
    return early_exit(scores, labels, float('inf'))


def _candidates(scores: Tensor, limit: int = 1000) -> Tuple[float, ...]:
    """Confidences that occur, ascending, thinned out to ``limit``."""
    confidences = scores[:-1].amax(-1).flatten().unique()
    return tuple(confidences[:: max(1, len(confidences) // limit)].tolist())
