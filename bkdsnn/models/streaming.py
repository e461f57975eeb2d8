"""A network that runs one time step at a time, as events come in or until it is sure."""
from typing import Dict

import torch
from torch import Tensor, nn

from .neurons import SpikingNode
from .neurons.base import State, going_on, keep_samples, states_of


def streaming_nodes(network: nn.Module, way_out: str) -> Dict[str, SpikingNode]:
    """All neurons by path.

    Args:
        network: Whatever has them.
        way_out: What to do instead, for errors.

    Raises:
        TypeError: If one does not run step by step.
    """
    nodes = {path: module for path, module in network.named_modules() if isinstance(module, SpikingNode)}
    for path, node in nodes.items():
        if not node.streams:
            raise TypeError(f'{path} ({type(node).__name__}) does not run step by step: {node.why_no_stream()}. '
                            f'{way_out}')
    return nodes


class Stream:
    """Runs a network step by step and keeps the neurons' states between the steps, outside the network.

    The logits of the steps are those of one call with all of them. Nothing is left in the network after a step, so that
    several streams may run on it in turn, each with samples of its own.

    Args:
        model: A :class:`bkdsnn.models.SpikingClassifier` in eval mode.

    Raises:
        ValueError: If the network is in training mode, where batch norm looks at all time steps at once, or has no
            spiking neuron.
        TypeError: If a neuron does not run step by step.
    """

    def __init__(self, model: nn.Module) -> None:
        if model.training:
            raise ValueError('a network runs step by step in eval mode only; call model.eval() first.')
        self.model = model
        self.nodes = streaming_nodes(model, 'Run the network with all time steps at once.')
        if not self.nodes:
            raise ValueError(f'{type(model).__name__} has no spiking neuron, so there are no time steps to run it by.')
        self._states: Dict[SpikingNode, State] = {}

    @property
    def membranes(self) -> Dict[str, Tensor]:
        """Membrane potentials (B, ...) after the last step, by path of the neurons that have one."""
        return {path: states_of(self._states[node])[0] for path, node in self.nodes.items()
                if node.has_membrane and node in self._states}

    @torch.no_grad()
    def step(self, frame: Tensor) -> Tensor:
        """Run one time step.

        Args:
            frame: Preprocessed event frame (B, P, H, W), or static image (B, C, H, W), which is shown anew each step.

        Returns:
            Logits of this step, (B, K).
        """
        with going_on(self.nodes.values(), self._states):
            return self.model(frame.unsqueeze(1))[0]

    def keep(self, chosen: Tensor) -> None:
        """Go on with some samples only; ``chosen`` are indices into the batch, or a mask (B, )."""
        self._states = {node: keep_samples(v, chosen) for node, v in self._states.items()}

    def reset(self) -> None:
        """Let all neurons rest, for the next samples."""
        self._states = {}
