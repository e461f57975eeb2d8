"""Neurons that emit integers in training, which become binary spikes for inference."""
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .base import SpikingNode, State
from .nodes import StepNode, in_full_precision


class _Round(torch.autograd.Function):
    """``round(clamp(x, 0, D))``, half to even; the gradient passes where ``0 <= x <= D``."""

    @staticmethod
    def forward(ctx, x: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.levels = levels
        return x.clamp(0, levels).round()

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, = ctx.saved_tensors
        return grad * ((x >= 0) & (x <= ctx.levels)).to(grad.dtype), None


class _RoundUp(torch.autograd.Function):
    """``floor(clamp(x, 0, D) + 0.5)``, half up; the gradient passes where ``0 < x < D``."""

    @staticmethod
    def forward(ctx, x: Tensor, levels: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.levels = levels
        return (x.clamp(0, levels) + 0.5).floor()

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, = ctx.saved_tensors
        return grad * ((x > 0) & (x < ctx.levels)).to(grad.dtype), None


def to_integers(x: Tensor, levels: int, half_up: bool = False) -> Tensor:
    """Integers from 0 to ``levels``, with a gradient of 1 where they are not clamped.

    Args:
        x: Membrane potential or current, any shape.
        levels: The largest integer, D.
        half_up: Round 0.5 to 1 and 2.5 to 3, and let no gradient through at 0 and D, as the code of the large
            E-SpikeFormers does; otherwise 0.5 goes to 0, 1.5 and 2.5 to 2, and the gradient's window is closed.
    """
    return (_RoundUp if half_up else _Round).apply(x, levels)


def unfold_spikes(integers: Tensor, levels: int) -> Tensor:
    """Integers (T, B, ...) from 0 to D as binary spikes (T * D, B, ...): s spikes in the first s of each D steps."""
    steps = torch.arange(levels, device=integers.device, dtype=integers.dtype)
    spikes = integers.unsqueeze(1) > steps.view(1, -1, *[1] * (integers.dim() - 1))
    return spikes.to(integers.dtype).flatten(0, 1)


class IntegerNode(StepNode):
    """What neurons that emit integers share. Spikes are integers from 0 to D, divided by ``norm``.

    Set ``spike_driven`` by :func:`bkdsnn.models.spike_driven` alone, which prepares the layers that read the spikes.

    Args:
        D: The largest integer, and the binary steps that a time step unfolds into.
        norm: Divisor.
        half_up: See :func:`to_integers`.
        backend: As :class:`bkdsnn.models.neurons.nodes.StepNode`.

    Attributes:
        spike_driven: Whether the output are binary spikes (T * D, B, ...), which the layer that reads them divides by
            ``norm``, and not (T, B, ...).

    Raises:
        ValueError: If ``D`` is no positive integer or ``norm`` is not positive.
    """

    streams = True
    emits_integers = True

    def __init__(self, *, D: int, norm: float, half_up: bool = False, backend: str = 'auto') -> None:
        super().__init__(backend=backend)
        if not isinstance(D, int) or D < 1:
            raise ValueError(f'{type(self).__name__}: D={D} must be an integer of at least 1: spikes are 0, 1, ... D.')
        if not norm > 0:
            raise ValueError(f'{type(self).__name__}: norm={norm} must be positive: integers are divided by it.')
        self.D, self.norm, self.half_up = D, float(norm), half_up
        self.spike_driven = False

    @property
    def takes_norm(self) -> bool:
        return type(self).forward is IntegerNode.forward

    def forward(self, x: Tensor, backend: Optional[str] = None, norm: Optional[nn.Module] = None) -> Tensor:
        """As :meth:`bkdsnn.models.neurons.nodes.StepNode.forward`; spikes are (T * D, B, ...) if ``spike_driven``."""
        spikes = super().forward(x, backend, norm)
        return unfold_spikes(self.integers(spikes), self.D) if self.spike_driven else spikes

    def fire(self, h: Tensor, dtype: torch.dtype) -> Tuple[Tensor, Tensor]:
        """Integers (B, ...) in the dtype of ``h``, and what is sent of them."""
        integers = to_integers(h, self.D, self.half_up)
        return integers, (integers if self.norm == 1 else integers / self.norm).to(dtype)

    def integers(self, spikes: Tensor) -> Tensor:
        """The integers in spikes that are not unfolded."""
        return spikes if self.norm == 1 else (spikes * self.norm).round()

    def get_extra_state(self) -> Tensor:
        """What the weights of a network were trained with, kept beside them in checkpoints."""
        return torch.tensor([self.D, self.norm], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Raise ValueError if a checkpoint's neuron has other integers."""
        D, norm = state.tolist()
        if (D, norm) != (self.D, self.norm):
            raise ValueError(f'{type(self).__name__}: the checkpoint is of a network with integers from 0 to D={D:g} '
                             f'and norm={norm:g}, this one has D={self.D} and norm={self.norm:g} '
                             '(model.backbone.neuron). Give the neuron those of the checkpoint.')

    def extra_repr(self) -> str:
        unfolded = ', spike_driven=True' if self.spike_driven else ''
        half_up = ', half_up=True' if self.half_up else ''
        return f'D={self.D}, norm={self.norm:g}{half_up}{unfolded}, {super().extra_repr()}'


def binary_spikes(node: SpikingNode, spikes: Tensor) -> Tensor:
    """What a neuron has emitted (T, B, ...) as binary spikes: integers (T, B, ...) as (T * D, B, ...)."""
    if not node.emits_integers or node.spike_driven:
        return spikes
    return unfold_spikes(node.integers(spikes), node.D)


@MODELS.register_module()
class ILIFNode(IntegerNode):
    """Integer leaky integrate-and-fire neuron, I-LIF (Luo et al., SpikeYOLO, ECCV 2024).

    ``h = decay * v + x``, ``s = round(clamp(h, 0, D))``, ``v = h - s``. The decay multiplies after the reset, the input
    is not decayed, and the gradient does not flow through the reset.

    Args:
        D: The largest integer; 4 in the published networks.
        decay: What stays of the membrane each step, from 0 to 1; 0.25 in the published networks.
        norm: Divisor of the integers; the published one has none, 1.
        half_up: As :class:`IntegerNode`.
        backend: As :class:`IntegerNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, D: int, decay: float, norm: float = 1.0, **kwargs) -> None:
        super().__init__(D=D, norm=norm, **kwargs)
        if not 0 <= decay <= 1:
            raise ValueError(f'{type(self).__name__}: decay={decay} must be from 0 to 1.')
        self.decay = float(decay)

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Membrane potential (B, ...) after the input current ``x`` (B, ...) has flowed in."""
        return self.decay * v + x

    def step(self, x: Tensor, v: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        v = self.rest(x) if v is None else v
        with in_full_precision(x):
            h = self.charge(x.to(v.dtype), v)
            integers, spikes = self.fire(h, x.dtype)
            return spikes, h - integers.detach()

    def extra_repr(self) -> str:
        return f'decay={self.decay:g}, {super().extra_repr()}'


@MODELS.register_module()
class SFANode(IntegerNode):
    """Spike firing approximation (Yao et al., E-SpikeFormer, TPAMI 2025): ``round(clamp(x, 0, D)) / norm``.

    It has no membrane: time steps do not know of each other, and the published networks have one.

    Args:
        D: The largest integer; 4 in the published networks.
        norm: Divisor; D in the published networks, and 1 before their classifier.
        half_up: As :class:`IntegerNode`.
        backend: As :class:`IntegerNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    has_membrane = False
    num_states = 0

    def __init__(self, *, D: int, norm: float, half_up: bool = False, backend: str = 'auto') -> None:
        super().__init__(D=D, norm=norm, half_up=half_up, backend=backend)

    def step(self, x: Tensor, v: State = None) -> Tuple[Tensor, None]:
        with in_full_precision(x):
            return self.fire(x.to(torch.promote_types(x.dtype, torch.float32)), x.dtype)[1], None


@MODELS.register_module()
class NILIFNode(SFANode):
    """Normalised integer neuron, NI-LIF (Lei et al., Spike2Former, AAAI 2025): :class:`SFANode` with ``norm = D``.

    Args:
        D: The largest integer, which the paper calls T; 4 in the published networks.
        backend: As :class:`IntegerNode`.
    """

    def __init__(self, *, D: int, backend: str = 'auto') -> None:
        super().__init__(D=D, norm=D, backend=backend)
