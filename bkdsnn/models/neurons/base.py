"""What every neuron is, and what a neuron can do."""
from contextlib import contextmanager
from typing import Dict, Iterable, Optional, Tuple, Union

import torch
from torch import Tensor, nn

# What a neuron keeps from one step to the next, (B, ...) each; ``None`` is rest, or that it keeps nothing.
State = Union[Tensor, Tuple[Tensor, ...], None]


class SpikingNode(nn.Module):
    """A neuron: currents (T, B, ...) in, spikes of the same shape out.

    A call starts from rest and leaves nothing behind, so there is no state to reset, to leak between batches or to
    save. Whoever asks what a module can do asks these attributes, and not its type.

    Attributes:
        streams: Whether calls of one time step after the other, or of a few, go on where they left off; see
            :func:`going_on`.
        has_membrane: Whether it has a membrane potential that lasts from one step to the next; it is the state of
            :meth:`step`, or the first of the states.
        emits_integers: Whether spikes are integers, see :class:`bkdsnn.models.neurons.integer.IntegerNode`.
        time_steps: The T that its weights are tied to; ``None`` runs with any.
        backend: What computes it; ``'eager'`` always can.
    """

    streams = False
    has_membrane = True
    emits_integers = False
    time_steps: Optional[int] = None
    backend = 'auto'
    # Where the state is while it goes on from one, see going_on; a class attribute, so never in a copy.
    _stored: Optional[Dict['SpikingNode', State]] = None

    def forward(self, x: Tensor) -> Tensor:
        """All time steps: currents (T, B, ...) to spikes of the same shape."""
        raise NotImplementedError

    def step(self, x: Tensor, v: State = None) -> Tuple[Tensor, State]:
        """One time step, for streaming.

        Args:
            x: Input current, shape (B, ...).
            v: State before the step; ``None`` is rest.

        Returns:
            Spikes (B, ...), and the state after the step.

        Raises:
            TypeError: If the neuron does not stream.
        """
        raise TypeError(f'{type(self).__name__} does not run step by step: {self.why_no_stream()}.')

    def why_no_stream(self) -> str:
        """The reason, where ``streams`` is false."""
        return 'its forward sees all time steps at once'

    def check_input(self, x: Tensor) -> None:
        """Check the shape of an input.

        Raises:
            ValueError: If there is no time step, or another number of them than the weights are tied to.
        """
        if x.dim() < 2 or x.shape[0] < 1:
            raise ValueError(f'{type(self).__name__} takes (T, B, ...) with T >= 1, got shape {tuple(x.shape)}.')
        if self.time_steps not in (None, x.shape[0]):
            raise ValueError(f'{type(self).__name__} has weights for T={self.time_steps} time steps and got '
                             f'{x.shape[0]}, shape {tuple(x.shape)}. Give it the T of the backbone or of the frames '
                             '(model.backbone.neuron.T) and train it with that.')


@contextmanager
def going_on(nodes: Iterable[SpikingNode], states: Dict[SpikingNode, State]):
    """Inside the block neurons go on from their states, at rest where they have none, and leave there those after."""
    before = {node: node._stored for node in nodes}
    try:
        for node in before:
            node._stored = states
        yield
    finally:
        for node, stored in before.items():
            del node._stored
            if stored is not None:
                node._stored = stored


def keep_samples(v: State, chosen: Tensor) -> State:
    """The state of some samples; ``chosen`` are indices into the batch, or a mask (B, )."""
    return v[chosen] if isinstance(v, Tensor) else v and tuple(part[chosen] for part in v)


def states_of(v: State) -> Tuple[Tensor, ...]:
    """All tensors of a state; of a neuron that has a membrane, this comes first."""
    return (v, ) if isinstance(v, Tensor) else v or ()


def rest_like(x: Tensor, value: float = 0.0) -> Tensor:
    """A state of ``value`` for inputs like ``x``, in fp32 at least."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.full_like(x, value, dtype=dtype, memory_format=torch.preserve_format)


def has_hooks(module: nn.Module) -> bool:
    """Whether anything is called with what goes into a module and comes out of it."""
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks))
