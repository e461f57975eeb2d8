"""Synaptic operations and energy of a network on data."""
from typing import Dict, Iterable, Optional, Sequence

import torch
from torch import Tensor, nn

from .activity import ActivityCounter, Firing, Operation, merge
from .energy import AC_ENERGY, MAC_ENERGY, LayerCost, NetworkCost, NeuronActivity


@torch.no_grad()
def measure_synops(model: nn.Module, batches: Iterable) -> NetworkCost:
    """Count operations, spikes and energy of a classifier, sample by sample.

    Args:
        model: Spiking network or ANN in eval mode. Layers that take spikes are recognised whatever made them; firing
            rates are listed for neurons of :mod:`bkdsnn.models.neurons`.
        batches: Batches of a data loader, which the model's data preprocessor prepares; or its inputs as they are:
            static images (B, C, H, W) or event frames (B, T, P, H, W).

    Raises:
        ValueError: If the network is in training mode, there are no samples, or they differ in size.
    """
    if model.training:
        raise ValueError('a network is measured in eval mode only; call model.eval() first.')
    device = next((p.device for p in model.parameters()), torch.device('cpu'))
    samples, total = [], {}
    with ActivityCounter(model) as counter:
        for batch in batches:
            for sample in prepare(model, batch).to(device).split(1):
                model(sample)
                samples.append(counter.take_operations())
                merge(total, samples[-1])
    if not samples:
        raise ValueError('energy is measured on at least one sample, got none.')
    # Whether a layer accumulates is decided by all samples.
    drivers = {name: operation.driver_index for name, operation in total.items()}
    energies = [sum(energy_of(operation, drivers[name]) for name, operation in sample.items()) for sample in samples]
    return cost_of(total, counter.firing, counter.samples, energies)


def prepare(model: nn.Module, batch, view: str = 'student') -> Tensor:
    """The inputs of a batch of a data loader, of event data the ``view``; a tensor is returned as it is."""
    if isinstance(batch, Tensor):
        return batch
    inputs = model.data_preprocessor(batch, False)['inputs']
    return inputs[view] if isinstance(inputs, dict) else inputs


def energy_of(operation: Operation, driver: Optional[int]) -> float:
    """In joule; ``driver`` is the operand whose spikes cause the accumulates, ``None`` where the layer multiplies."""
    if driver is None:
        return MAC_ENERGY * operation.macs
    return AC_ENERGY * operation.macs * operation.operands[driver].rate


def cost_of(operations: Dict[str, Operation], firing: Dict[str, Firing], samples: int,
            energies: Sequence[float] = ()) -> NetworkCost:
    """Mean cost of a sample from what :class:`ActivityCounter` counted."""
    return NetworkCost(
        [layer_cost(name, operation, samples) for name, operation in operations.items()],
        [neuron_activity(name, layer) for name, layer in firing.items()], samples,
        max((layer.time_steps for layer in firing.values()), default=None), list(energies))


def layer_cost(name: str, operation: Operation, samples: int) -> LayerCost:
    """Mean cost of a layer for one sample."""
    driver, macs = operation.driver, operation.macs / samples
    energy = energy_of(operation, operation.driver_index) / samples
    if driver is None:
        values = next(iter(operation.operands), None)
        return LayerCost(name, operation.kind, 'image' if operation.reads_image else 'real', macs, None,
                         1.0 if values is None else values.nonzero / values.size, 0.0, 0.0, energy)
    synops = driver.rate * macs
    exact = synops if operation.exact is None else operation.exact / samples
    return LayerCost(name, operation.kind, 'spikes' if driver.binary else 'integers', macs, driver.rate,
                     driver.nonzero / driver.size, synops, exact, energy)


def neuron_activity(name: str, layer: Firing) -> NeuronActivity:
    """Firing rate of a layer, and its neurons and channels that never or always spike."""
    dead, saturated = layer.spikes == 0, layer.spikes == layer.steps
    channels = len(layer.spikes)

    def whole_channels(chosen: Tensor) -> list:
        return chosen.reshape(channels, -1).all(1).nonzero().flatten().tolist()

    rate = layer.spikes.sum().item() / layer.spikes.numel() / layer.steps
    return NeuronActivity(name, rate, layer.spikes.numel(), int(dead.sum()), int(saturated.sum()), channels,
                          whole_channels(dead), whole_channels(saturated))
