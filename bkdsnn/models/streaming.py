"""A network that runs one time step at a time, as events come in or until it is sure."""
from typing import Dict

import torch
from torch import Tensor, nn

from .neurons import BaseNode


class Stream:
    """Runs a network step by step and keeps the membranes between the steps, outside the network.

    The logits of the steps are those of one call with all of them. Nothing is left in the network after a step, so that
    several streams may run on it in turn, each with samples of its own.

    Args:
        model: A :class:`bkdsnn.models.SpikingClassifier` in eval mode.

    Raises:
        ValueError: If the network is in training mode, where batch norm looks at all time steps at once, or has no
            spiking neuron.
    """

    def __init__(self, model: nn.Module) -> None:
        if model.training:
            raise ValueError('a network runs step by step in eval mode only; call model.eval() first.')
        self.model = model
        self.nodes = {path: module for path, module in model.named_modules() if isinstance(module, BaseNode)}
        if not self.nodes:
            raise ValueError(f'{type(model).__name__} has no spiking neuron, so there are no time steps to run it by.')
        self._membranes: Dict[BaseNode, Tensor] = {}

    @property
    def membranes(self) -> Dict[str, Tensor]:
        """Membrane potentials (B, ...) after the last step, by path of the neuron."""
        return {path: self._membranes[node] for path, node in self.nodes.items() if node in self._membranes}

    @torch.no_grad()
    def step(self, frame: Tensor) -> Tensor:
        """Run one time step.

        Args:
            frame: Preprocessed event frame (B, P, H, W), or static image (B, C, H, W), which is shown anew each step.

        Returns:
            Logits of this step, (B, K).
        """
        try:
            for node in self.nodes.values():
                node._membranes = self._membranes
            return self.model(frame.unsqueeze(1))[0]
        finally:
            for node in self.nodes.values():
                del node._membranes

    def keep(self, chosen: Tensor) -> None:
        """Go on with some samples only; ``chosen`` are indices into the batch, or a mask (B, )."""
        self._membranes = {node: v[chosen] for node, v in self._membranes.items()}

    def reset(self) -> None:
        """Let all membranes rest, for the next samples."""
        self._membranes = {}
