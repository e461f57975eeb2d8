"""A network that trains on a few time steps after the other: the memory of these, and the gradient of all."""
from typing import Dict, Tuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, get_device_states, set_device_states

from .layers.compress import kept_by_another
from .layers.recompute import in_chunk
from .neurons import SpikingNode
from .neurons.base import State, going_on
from .streaming import streaming_nodes


class TimeChunks:
    """Runs a network on ``steps`` time steps after the other, with the neurons' states handed on.

    Of each chunk only the input, the output and the states are kept; backward goes through the chunks from the last to
    the first, computes each once more and hands on the gradient of its states. So the gradient is that through all time
    steps, and the memory that of one chunk. What is drawn for samples, as by drop path, is the same in all chunks.
    Batch norms that take statistics of the batch take those of a chunk.

    Args:
        network: Backbone of images (B, C, H, W), which it shows ``T`` times, or of event frames (T, B, P, H, W).
        steps: Time steps of a chunk.

    Raises:
        ValueError: If ``steps`` is not a positive integer, or does not divide the ``T`` of the network.
        TypeError: If a neuron does not run step by step.
    """

    def __init__(self, network: nn.Module, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f'time_chunk={steps!r} must be a number of time steps, 1 or more.')
        leaking = next((name for name, module in network.named_modules() if getattr(module, 'batch_leak', False)), None)
        if leaking is not None:
            raise ValueError(f'time_chunk={steps}, but with batch_leak=True ({leaking}) samples are time steps. Set '
                             'backbone.batch_leak=False, or time_chunk=None.')
        self.network, self.steps = network, steps
        self.nodes = list(streaming_nodes(network, 'Take another neuron, or set time_chunk=None.').values())
        if getattr(network, 'T', None) is not None:
            self._check_divides(network.T)

    def _check_divides(self, time_steps: int) -> None:
        if time_steps % self.steps:
            divisors = [k for k in range(1, time_steps + 1) if time_steps % k == 0]
            raise ValueError(f'time_chunk={self.steps} does not divide T={time_steps}; choose one of {divisors}.')

    def __call__(self, x: Tensor) -> Tuple[Tensor, ...]:
        """What the network gives of all time steps.

        Raises:
            ValueError: If the chunks do not divide the number of frames.
        """
        is_events = x.dim() == 5
        time_steps = len(x) if is_events else self.network.T
        self._check_divides(time_steps)
        outputs, states = [], {}
        draws, device_draws = torch.get_rng_state(), get_device_states(x)
        for number in range(time_steps // self.steps):
            torch.set_rng_state(draws)
            set_device_states(*device_draws)
            part = x[number * self.steps:(number + 1) * self.steps] if is_events else x
            output, states = checkpoint(self._run, number, part, states, use_reentrant=False)
            outputs.append(output)
        return tuple(torch.cat(parts) for parts in zip(*outputs))

    def _run(self, number: int, x: Tensor, before: Dict[SpikingNode, State]
             ) -> Tuple[Tuple[Tensor, ...], Dict[SpikingNode, State]]:
        """Outputs of a chunk, and the states after it; backward calls this again."""
        states, T = dict(before), getattr(self.network, 'T', None)
        try:
            if x.dim() == 4:
                self.network.T = self.steps
            with in_chunk(number), going_on(self.nodes, states), kept_by_another():
                return self.network(x), states
        finally:
            if T is not None:
                self.network.T = T
