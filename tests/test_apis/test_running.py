"""Running until sure gives what running at once gives, up to each sample's own step."""
import pytest
import torch

import golden
from bkdsnn.apis.running import run_at_once, run_until_sure
from bkdsnn.evaluation import exit_steps, running_scores
from bkdsnn.registry import MODELS
from helpers import tiny_student

LIF = dict(golden.IF, type='LIFNode', tau=2.0, decay_input=True, v_threshold=0.3)
T = 5


@pytest.fixture
def model():
    """A small network whose samples get sure at different times."""
    torch.manual_seed(3)
    model = MODELS.build(tiny_student(neuron=LIF, T=T))
    for _ in range(20):
        model(torch.randn(8, 1, 8, 8) * 3)
    torch.nn.init.normal_(model.head.fc.weight, std=2.0)
    return model.eval()


@pytest.mark.parametrize('shape', [(16, 1, 8, 8), (16, T, 1, 8, 8)], ids=['images', 'frames'])
def test_samples_stop_where_their_score_reaches_the_threshold(model, shape):
    inputs = torch.randn(shape) * 3
    with torch.no_grad():
        everything, _ = run_at_once(model, inputs)
        scores = running_scores(torch.stack(everything, 1))
        threshold = float(scores[:-1].amax(-1).median()) + 1e-4  # of none exactly
        logits, spikes = run_until_sure(model, inputs, T, threshold)
        steps = exit_steps(scores, threshold)
        assert len(set(steps.tolist())) >= 3
        assert [len(own) for own in logits] == steps.tolist()
        for own, whole, taken, count, one in zip(logits, everything, steps.tolist(), spikes.tolist(), inputs):
            torch.testing.assert_close(own, whole[:taken])
            # A sample of its own, for that many steps.
            frames = one[:taken] if one.dim() == 4 else one.expand(taken, *one.shape)
            assert run_at_once(model, frames[None])[1].tolist() == [count]


def test_threshold_out_of_reach_takes_all_steps(model):
    images = torch.randn(4, 1, 8, 8) * 3
    with torch.no_grad():
        want, want_spikes = run_at_once(model, images)
        got, spikes = run_until_sure(model, images, T, 1.1)
    torch.testing.assert_close(torch.stack(got), torch.stack(want))
    assert spikes.tolist() == want_spikes.tolist()


def test_other_number_of_steps_repeats_the_image(model):
    images = torch.randn(4, 1, 8, 8) * 3
    with torch.no_grad():
        logits, spikes = run_at_once(model, images, T=2)
        whole, _ = run_at_once(model, images)
        assert [own.shape for own in logits] == [(2, 10)] * 4
        torch.testing.assert_close(torch.stack(logits), torch.stack(whole)[:, :2])
        frames = images.unsqueeze(1).expand(-1, 2, -1, -1, -1)
        assert spikes.tolist() == run_at_once(model, frames)[1].tolist()
