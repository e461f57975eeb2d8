"""Firing rates and energy in the validation log."""
from dataclasses import replace
from typing import Dict, Optional

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from bkdsnn.evaluation.activity import ActivityCounter, merge
from bkdsnn.evaluation.energy import NetworkCost, rates_by_stage
from bkdsnn.evaluation.synops import cost_of
from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class SynOpsHook(Hook):
    """Adds what a prediction costs to the metrics of each validation and test; training is not touched.

    One line switches it on, ``default_hooks = dict(synops=dict(type='SynOpsHook'))``. A metric could not do it, as it
    sees predictions and not the network. Of a distillation config, the student is counted. Logged are, over the samples
    of all processes, of which those that a sampler repeats count again (unless its ``round_up`` is ``False``):

    - ``firing_rate/<stage>`` and ``firing_rate/mean``: spikes per neuron and time step,
    - ``dead_neurons``: share of the neurons that never spike, in percent,
    - ``synops_M`` and ``energy_uJ``: accumulates in millions and energy in microjoule for one sample, see
      :class:`bkdsnn.evaluation.NetworkCost`.

    Args:
        depth: How many names of a neuron's path make a stage: of ``backbone.layer1.0.unit1.neuron``, 2 names make
            ``backbone.layer1``.

    Raises:
        ValueError: If ``depth`` is not positive.
    """

    # Before RuntimeInfoHook, which puts the metrics into the log.
    priority = 'HIGHEST'

    def __init__(self, depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f'SynOpsHook: depth={depth} must be at least 1.')
        self.depth = depth

    def before_val_epoch(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.counter = ActivityCounter(getattr(model, 'student', model))
        self.counter.attach()

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        self.counter.detach()
        metrics.update(self.summary(cost_over_processes(self.counter)))

    def before_test_epoch(self, runner: Runner) -> None:
        self.before_val_epoch(runner)

    def after_test_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        self.after_val_epoch(runner, metrics)

    def summary(self, cost: NetworkCost) -> Dict[str, float]:
        """What is logged, by log key."""
        found = {f'firing_rate/{stage}': rate for stage, rate in rates_by_stage(cost.neurons, self.depth)}
        if cost.neurons:
            dead = sum(layer.dead for layer in cost.neurons) / sum(layer.neurons for layer in cost.neurons)
            found.update({'firing_rate/mean': cost.firing_rate, 'dead_neurons': 100 * dead})
        return dict(found, synops_M=cost.synops / 1e6, energy_uJ=cost.energy * 1e6)


def cost_over_processes(counter: ActivityCounter) -> NetworkCost:
    """Mean cost of a sample over those that all processes have counted."""
    firing = {name: replace(layer, spikes=layer.spikes.cpu()) for name, layer in counter.firing.items()}
    operations, total_firing, samples = {}, {}, 0
    for other in all_gather_object((counter.operations, firing, counter.samples)):
        merge(operations, other[0])
        merge(total_firing, other[1])
        samples += other[2]
    return cost_of(operations, total_firing, samples)
