"""Step-wise neurons with more state than a membrane: a complementary one, and gates."""
import math
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .base import SpikingNode, State, rest_like
from .compiled import MAX_STEPS_AT_ONCE
from .compiled_numbers import check_compiled_steps, compiles, run_with_numbers
from .functional import fire
from .nodes import StepNode, check_backend, in_full_precision
from .surrogate import Surrogate


@MODELS.register_module()
class CLIFNode(StepNode):
    """Complementary leaky integrate-and-fire neuron (Huang et al., ICML 2024, arXiv 2402.04663).

    ``h = (1 - 1 / tau) * v + x``, ``s = h >= v_threshold``; a complementary memory ``m = m * sigmoid(h / tau) + s`` of
    the spikes deepens the reset: ``v = h - s * (v_threshold + sigmoid(m))``. No gradient is detached.

    Args:
        tau: Membrane time constant in time steps, at least 1.
        v_threshold: Firing threshold, positive.
        surrogate: As :class:`bkdsnn.models.neurons.nodes.BaseNode`; the authors use
            ``dict(type='Rectangular', alpha=1.0)``.
        backend: As :class:`bkdsnn.models.neurons.nodes.StepNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    num_states = 2

    def __init__(self, *, tau: float, v_threshold: float, surrogate: dict, backend: str = 'auto') -> None:
        super().__init__(backend=backend)
        if not tau >= 1:
            raise ValueError(f'{type(self).__name__}: tau={tau} must be at least 1.')
        if not v_threshold > 0:
            raise ValueError(f'{type(self).__name__}: v_threshold={v_threshold} must be positive.')
        self.tau, self.v_threshold, self.surrogate = float(tau), float(v_threshold), Surrogate(**surrogate)

    def step(self, x: Tensor, v: State = None) -> Tuple[Tensor, State]:
        v, memory = self.rest(x) if v is None else v
        with in_full_precision(x):
            h = v * (1 - 1 / self.tau) + x.to(v.dtype)
            spike = fire(h, self.v_threshold, self.surrogate)
            memory = memory * (h / self.tau).sigmoid() + spike
            v = h - spike * (self.v_threshold + memory.sigmoid())
        return spike.to(x.dtype), (v, memory)

    def extra_repr(self) -> str:
        return (f'tau={self.tau:g}, v_threshold={self.v_threshold:g}, surrogate={self.surrogate}, '
                f'{super().extra_repr()}')


class _HardGate(torch.autograd.Function):
    """1 above 0.5, else 0; the gradient passes as it is."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return (x > 0.5).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


@MODELS.register_module()
class GLIFNode(SpikingNode):
    """Gated leaky integrate-and-fire neuron (Yao et al., NeurIPS 2022, arXiv 2210.13768).

    Gates ``alpha`` (exponential or linear leak), ``beta`` (input as it is, or scaled in each step) and ``gamma`` (hard
    or soft reset) mix the kinds of neuron:
    ``u = (1 - alpha * (1 - tau)) * u * (1 - gamma * s) - (1 - alpha) * leak + (1 - beta * (1 - conduct[t])) * x
    - (1 - gamma) * reset * s``, with the spikes ``s`` of the step before; then ``s = u > threshold``, strictly. All
    nine are learned as logits. Nothing is detached.

    Args:
        T: Time steps; ``conduct`` has a weight for each.
        surrogate: As :class:`bkdsnn.models.neurons.nodes.BaseNode`, even; the authors use
            ``dict(type='Rectangular', alpha=1.0)``.
        channels: Of the input (T, B, C, H, W), each of which has weights of its own; ``None`` has one for the layer.
        hard_gates: Gates are 0 or 1, with the gradient of those between. The authors' neurons for each channel have
            hard ones by default, those for a layer never.
        gates: Where ``alpha``, ``beta`` and ``gamma`` start, from 0 to 1; the logit is of ``(gate + 0.5) / 2``.
        tau: Where the membrane's exponential decay starts, between 0 and 1; and likewise
        threshold: the firing threshold and what a soft reset subtracts,
        leak: the linear leak,
        conduct: and the weight of the input.
        backend: As :class:`bkdsnn.models.neurons.nodes.StepNode`; weights for each channel, and more than four steps,
            are run by PyTorch.

    Raises:
        ValueError: If an argument is out of range.
    """

    max_compiled_steps = MAX_STEPS_AT_ONCE

    def __init__(self, *, T: int, surrogate: dict, channels: Optional[int] = None, hard_gates: bool = False,
                 gates: Sequence[float] = (0.6, 0.8, 0.6), tau: float = 0.25, threshold: float = 0.5,
                 leak: float = 1 / 16, conduct: float = 0.5, backend: str = 'auto') -> None:
        super().__init__()
        name = type(self).__name__
        check_backend(backend)
        if not isinstance(T, int) or T < 1:
            raise ValueError(f'{name}: T={T} must be an integer of at least 1, the T of the backbone.')
        if channels is not None and channels < 1:
            raise ValueError(f'{name}: channels={channels} must be at least 1, or None.')
        if len(gates) != 3 or not all(0 <= gate <= 1 for gate in gates):
            raise ValueError(f'{name}: gates={gates} must be three numbers from 0 to 1.')
        starts = dict(tau=tau, threshold=threshold, leak=leak, reset=threshold, conduct=conduct)
        for key, value in starts.items():
            if not 0 < value < 1:
                raise ValueError(f'{name}: {key}={value} must be between 0 and 1, as it is learned as a logit.')
        self.time_steps, self.channels, self.hard_gates = T, channels, hard_gates
        self.surrogate, self.backend = Surrogate(**surrogate), backend
        if channels is not None and backend == 'compile':
            raise ValueError(f"{name}: weights for each channel are not compiled; set backend='eager' or 'auto', or "
                             'channels=None.')
        check_compiled_steps(self, T)
        starts.update(zip(('alpha', 'beta', 'gamma'), ((gate + 0.5) / 2 for gate in gates)))
        shape = () if channels is None else (channels, 1, 1)
        for key, value in starts.items():
            steps = (T, 1) if key == 'conduct' else ()
            setattr(self, key, nn.Parameter(torch.full((*steps, *shape), -math.log(1 / value - 1))))

    def why_no_stream(self) -> str:
        return 'its input has a weight of its own in each step, and a step does not know which it is'

    def check_input(self, x: Tensor) -> None:
        super().check_input(x)
        if self.channels is not None and (x.dim() != 5 or x.shape[2] != self.channels):
            raise ValueError(f'{type(self).__name__} has weights for maps (T, B, C, H, W) with C={self.channels} '
                             f'channels and got shape {tuple(x.shape)}.')

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        with in_full_precision(x):
            dtype = torch.promote_types(x.dtype, torch.float32)
            gates = [self._gate(gate) for gate in (self.alpha, self.beta, self.gamma)]
            numbers = [*gates, *(value.sigmoid() for value in (self.tau, self.threshold, self.leak, self.reset)),
                       *self.conduct.sigmoid()]
            numbers = [number.to(dtype) for number in numbers]
            if self.channels is None and compiles(self, x):
                spikes = run_with_numbers(self, x, torch.stack([number.reshape(()) for number in numbers]))
                if spikes is not None:
                    return spikes
            return torch.stack(self.steps_with(x.unbind(), numbers)).to(x.dtype)

    def steps_with(self, x: Sequence[Tensor], numbers: Sequence[Tensor]) -> List[Tensor]:
        """Spikes of each step (B, ...) of the currents of all, with alpha, beta, gamma, tau, threshold, leak, reset and
        the weights of the inputs; this is what is compiled."""
        alpha, beta, gamma, tau, threshold, leak, reset, *conduct = numbers
        u = spike = rest_like(x[0])
        spikes = []
        for x_t, conduct_t in zip(x, conduct):
            kept = (1 - alpha * (1 - tau)) * u * (1 - gamma * spike) - (1 - alpha) * leak
            u = kept + x_t.to(u.dtype) * (1 - beta * (1 - conduct_t)) - (1 - gamma) * reset * spike
            spike = fire(u, threshold, self.surrogate, strict=True)
            spikes.append(spike)
        return spikes

    def _gate(self, logit: Tensor) -> Tensor:
        gate = logit.sigmoid()
        return _HardGate.apply(gate) if self.hard_gates else gate

    def extra_repr(self) -> str:
        return (f'T={self.time_steps}, channels={self.channels}, hard_gates={self.hard_gates}, '
                f'surrogate={self.surrogate}')
