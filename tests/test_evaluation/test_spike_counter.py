"""Spikes are counted exactly, for each sample."""
import pytest
import torch
from torch import nn

import golden
from bkdsnn.evaluation.spike_counter import SpikeCounter
from bkdsnn.models import IFNode
from bkdsnn.registry import MODELS
from helpers import tiny_student

IF = {key: value for key, value in golden.IF.items() if key != 'type'}


def test_spikes_are_those_counted_by_hand():
    """With a threshold of 1, an input of 0.5 spikes in every second step, one of 1 in every step, one of 0 never."""
    model = nn.Sequential(IFNode(**IF), IFNode(**IF))
    x = torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 0.5]]).expand(4, 2, 3)
    with SpikeCounter(model) as counter:
        model(x)
        # The second layer hands on each spike of the first.
        assert counter.take().tolist() == [2 * (2 + 4), 2 * 2]
        model[0](x[:1])
        model[1](x[:1])
        assert counter.take().tolist() == [2, 0]


def test_count_is_that_of_all_neurons_and_leaves_no_hooks():
    model = MODELS.build(tiny_student(neuron=dict(golden.IF, v_threshold=0.2), T=3)).eval()
    images = torch.randn(4, 1, 8, 8)
    recorded = []
    handles = [m.register_forward_hook(lambda m, x, y: recorded.append(y)) for m in model.modules()
               if isinstance(m, IFNode)]
    with SpikeCounter(model) as counter:
        model(images)
        count = counter.take()
    for handle in handles:
        handle.remove()
    want = sum(spikes.transpose(0, 1).flatten(1).sum(1) for spikes in recorded)
    assert count.tolist() == want.tolist() and (count > 0).all()
    assert not any(module._forward_hooks for module in model.modules())


def test_nothing_to_take_is_an_error():
    with SpikeCounter(nn.Linear(1, 1)) as counter, pytest.raises(ValueError, match='no neuron has run'):
        counter.take()
