"""Answers over time and early exit, against small cases by hand."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bkdsnn.evaluation import (
    accuracy_over_time,
    calibrate_early_exit,
    early_exit,
    exit_steps,
    running_scores,
    scores_at,
    stack_steps,
)

# Three steps, two samples, two classes: the first changes its answer at step 2, the second never.
SCORES = torch.tensor([[[0.6, 0.4], [0.1, 0.9]], [[0.3, 0.7], [0.2, 0.8]], [[0.1, 0.9], [0.3, 0.7]]])
LABELS = torch.tensor([1, 1])


def test_scores_are_those_of_the_mean_logits_so_far():
    logits = torch.tensor([[[0.0, math.log(3)]], [[math.log(3), 0.0]]])
    torch.testing.assert_close(running_scores(logits), torch.tensor([[[0.25, 0.75]], [[0.5, 0.5]]]))


def test_accuracy_and_agreement_by_hand():
    found = accuracy_over_time(SCORES, LABELS)
    assert found.accuracy.tolist() == [50, 100, 100]
    assert found.agreement.tolist() == [[100, 50, 50], [50, 100, 100], [50, 100, 100]]


@pytest.mark.parametrize('threshold, steps', [(0.0, [1, 1]), (0.65, [2, 1]), (0.85, [3, 1]), (0.95, [3, 3]),
                                              (2.0, [3, 3])])
def test_a_sample_stops_when_it_is_sure(threshold, steps):
    assert exit_steps(SCORES, threshold).tolist() == steps
    assert early_exit(SCORES, LABELS, threshold).mean_steps == sum(steps) / 2
    for i, step in enumerate(steps):
        assert torch.equal(scores_at(SCORES, torch.tensor(steps))[i], SCORES[step - 1, i])


def test_calibration_takes_the_fewest_steps_that_lose_nothing():
    found = calibrate_early_exit(SCORES, LABELS)
    assert found.threshold == pytest.approx(0.7) and found.accuracy == 100 and found.mean_steps == 1.5
    generous = calibrate_early_exit(SCORES, LABELS, max_drop=50)
    assert generous.mean_steps == 1 and generous.accuracy == 50


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 20), st.floats(0, 30))
def test_calibration_keeps_its_promise(seed, time_steps, samples, max_drop):
    generator = torch.Generator().manual_seed(seed)
    scores = running_scores(3 * torch.randn(time_steps, samples, 3, generator=generator))
    labels = torch.randint(0, 3, (samples, ), generator=generator)
    found = calibrate_early_exit(scores, labels, max_drop)
    whole = early_exit(scores, labels, math.inf)
    assert found.accuracy >= whole.accuracy - max_drop - 1e-6
    assert 1 <= found.mean_steps <= whole.mean_steps == time_steps
    # No confidence that occurs would have done with fewer steps.
    for threshold in scores.amax(-1).unique().tolist():
        other = early_exit(scores, labels, threshold)
        assert other.accuracy < whole.accuracy - max_drop or other.mean_steps >= found.mean_steps - 1e-9


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='max_drop=-1'):
        calibrate_early_exit(SCORES, LABELS, -1)
    with pytest.raises(ValueError, match='at least one sample'):
        calibrate_early_exit(SCORES[:, :0], LABELS[:0])


def test_logits_of_single_predictions_are_stacked_over_samples_if_they_have_the_same_steps():
    steps = [torch.randn(3, 4) for _ in range(5)]
    assert torch.equal(stack_steps(steps), torch.stack(steps, 1))
    with pytest.raises(ValueError, match=r'differ in the number of time steps: \[2, 3\]'):
        stack_steps([*steps, torch.randn(2, 4)])
    with pytest.raises(ValueError, match='An ANN has no time steps'):
        stack_steps([*steps, None])
