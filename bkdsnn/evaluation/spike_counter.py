"""How many spikes a network sends for each sample."""
from typing import List, Optional

import torch
from torch import Tensor, nn

from bkdsnn.models.neurons import SpikingNode


class SpikeCounter:
    """Counts the spikes of all neurons of a network, per sample, inside a ``with`` block.

    Args:
        model: The network; one without neurons sends none.
    """

    def __init__(self, model: nn.Module) -> None:
        self.nodes = [module for module in model.modules() if isinstance(module, SpikingNode)]
        self._handles: List[torch.utils.hooks.RemovableHandle] = []
        self._count: Optional[Tensor] = None

    def __enter__(self) -> 'SpikeCounter':
        self._handles = [node.register_forward_hook(self._add) for node in self.nodes]
        return self

    def __exit__(self, *error) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._count = [], None

    def _add(self, node: nn.Module, inputs: tuple, spikes: Tensor) -> None:
        others = [dim for dim in range(spikes.dim()) if dim != 1]
        if node.emits_integers and not node.spike_driven:  # an integer is as many spikes
            own = node.integers(spikes).sum(others, dtype=torch.float64).long()
        else:
            own = torch.count_nonzero(spikes, others)
        self._count = own if self._count is None else self._count + own

    def take(self) -> Tensor:
        """Spikes of each sample (B, ) in all that was run since the last call, which must have had one batch size."""
        count, self._count = self._count, None
        if count is None:
            raise ValueError('no neuron has run since spikes were taken last.')
        return count
