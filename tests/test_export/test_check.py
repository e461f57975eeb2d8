"""What the check of an exported network accepts, and what not."""
import copy

import pytest
import torch

from bkdsnn.export import Deployed, DiffersError, Runner, check
from helpers import small_network


def network(threshold_moved_by=0.0):
    """A student with a membrane of its last layer exactly at the threshold, and an export whose threshold is moved."""
    model, frames = small_network('SEWResNet')
    path, currents = 'backbone.layer2.0.unit2.neuron', []
    student, exported = Deployed(model), Deployed(model)
    node = student.model.get_submodule(path)
    handle = node.register_forward_pre_hook(lambda module, args: currents.append(args[0]))
    student.logits(frames)
    handle.remove()
    first_step = currents[0][0].flatten()
    node.node.v_threshold = first_step[(first_step - 1).abs().argmin()].item()
    exported.model.get_submodule(path).node.v_threshold = node.node.v_threshold + threshold_moved_by
    return student, exported, frames


def runner_of(exported, with_spikes=True, **changes):

    def spikes(inputs, like):
        seen = {}
        handles = [exported.model.get_submodule(path).register_forward_hook(
            lambda module, args, out, path=path: seen.update({path: out})) for path in like]
        exported.logits(inputs)
        for handle in handles:
            handle.remove()
        return seen

    return Runner(**{**dict(logits=exported.logits, spikes=spikes if with_spikes else None), **changes})


def test_same_network_passes():
    student, exported, frames = network()
    before = copy.deepcopy(student.state_dict())
    result = check(student, runner_of(exported), frames)
    assert (result.samples, result.difference, result.flips) == (3, 0, 0)
    assert 'logits differ by at most 0. ' in str(result)
    with torch.no_grad():
        spikes = runner_of(student).spikes(frames, dict.fromkeys(student.neurons))
    counts = [(s.sum().item(), s.numel()) for s in spikes.values()]
    assert result.firing_rate == pytest.approx(sum(a for a, _ in counts) / sum(b for _, b in counts))
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())


def test_spike_that_rounding_decides_otherwise_is_counted_and_followed():
    student, exported, frames = network(threshold_moved_by=1e-6)
    assert not torch.allclose(student.logits(frames), exported.logits(frames), rtol=1e-5, atol=1e-5)
    result = check(student, runner_of(exported), frames)
    assert result.flips >= 1 and result.distance < 2e-6
    assert result.difference < 1e-5 < result.difference_with_flips
    assert 'rounding decides' in str(result) and 'of the threshold' in str(result)


def test_membrane_far_from_the_threshold_is_no_rounding():
    student, exported, frames = network(threshold_moved_by=0.05)
    with pytest.raises(DiffersError, match='spikes differ, at membranes up to 0.0'):
        check(student, runner_of(exported), frames)


def test_logits_that_differ_for_equal_spikes_fail():
    student, exported, frames = network()
    exported.model.head.fc.bias.data += 1e-3
    with pytest.raises(DiffersError, match='by 0.001 for equal spikes; 0 spikes differ'):
        check(student, runner_of(exported), frames)


def test_difference_without_spikes_to_look_at_fails():
    student, exported, frames = network(threshold_moved_by=1e-6)
    with pytest.raises(DiffersError, match='the logits of the exported network differ'):
        check(student, runner_of(exported, with_spikes=False), frames)


def test_logits_of_another_shape_fail():
    student, exported, frames = network()
    with pytest.raises(DiffersError, match=r'logits \(3, 10\), the student \(2, 3, 10\)'):
        check(student, runner_of(exported, logits=lambda inputs: exported.logits(inputs)[0]), frames)


def test_logits_that_are_not_finite_fail():
    student, exported, frames = network()
    exported.model.head.fc.bias.data += float('nan')
    with pytest.raises(DiffersError):
        check(student, runner_of(exported), frames)
