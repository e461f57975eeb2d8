"""Spiking neurons as modules over the pure steps of :mod:`bkdsnn.models.neurons.functional`."""
import math
from contextlib import nullcontext
from typing import Optional, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .functional import fire_and_reset, if_charge, lif_charge, plif_charge
from .surrogate import Surrogate

_announced = set()


def choose_backend(asked: str) -> str:
    """Resolve ``backend``; only ``'auto'`` may choose, and says once what it chose.

    Raises:
        ValueError: If the backend asked for does not exist here.
    """
    if asked not in ('auto', 'eager'):
        raise ValueError(f"backend={asked!r} is not available: this version runs neurons with backend='eager' "
                         "(or 'auto', which chooses it).")
    if asked == 'auto' and asked not in _announced:
        _announced.add(asked)
        print_log("Neurons: backend='auto' chose 'eager'.", logger='current')
    return 'eager'


class BaseNode(nn.Module):
    """What all neurons share: threshold, reset, surrogate, and the run over time.

    A call starts from rest and leaves nothing behind, so there is no state to reset, to leak between batches or to
    save. Subclasses implement :meth:`charge`.

    Args:
        v_threshold: Firing threshold, above ``v_reset`` (above 0 under soft reset). A neuron spikes at
            ``h >= v_threshold``.
        v_reset: Potential after a spike and at rest; ``None`` selects soft reset (subtract the threshold).
        detach_reset: Keep the gradient of the reset out of the backward pass.
        surrogate: ``dict(type=..., alpha=...)``, see :mod:`bkdsnn.models.neurons.surrogate`.
        backend: ``'eager'``, or ``'auto'`` to let the library choose.

    These have no defaults but ``backend``: a recipe writes them down, so that no default can change under it.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, v_threshold: float, v_reset: Optional[float], detach_reset: bool, surrogate: dict,
                 backend: str = 'auto') -> None:
        super().__init__()
        if not v_threshold > (v_reset or 0.0):
            raise ValueError(f'{type(self).__name__}: v_threshold={v_threshold} must be above the resting potential '
                             f'{v_reset or 0.0} (v_reset={v_reset}).')
        self.v_threshold = float(v_threshold)
        self.v_reset = None if v_reset is None else float(v_reset)
        self.detach_reset = detach_reset
        self.surrogate = Surrogate(**surrogate)
        self.backend = choose_backend(backend)

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Membrane potential (B, ...) after the input current ``x`` (B, ...) has flowed in."""
        raise NotImplementedError

    def rest(self, x: Tensor) -> Tensor:
        """Membrane at rest for inputs like ``x``, in fp32 at least."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        return torch.full_like(x, self.v_reset or 0.0, dtype=dtype, memory_format=torch.preserve_format)

    def step(self, x: Tensor, v: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One time step, for streaming.

        Args:
            x: Input current, shape (B, ...).
            v: Membrane potential before the step; ``None`` is the membrane at rest.

        Returns:
            Spikes in {0, 1} with the dtype of ``x``, and the membrane after reset in fp32 (fp64 for fp64 input).
        """
        v = self.rest(x) if v is None else v
        # The meta device, on which operations are counted, has no autocast.
        with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
            h = self.charge(x.to(v.dtype), v)
            spike, v = fire_and_reset(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return spike.to(x.dtype), v

    def forward(self, x: Tensor) -> Tensor:
        """Run all time steps from rest.

        Args:
            x: Input current, shape (T, B, ...).

        Returns:
            Spikes, shape (T, B, ...).

        Raises:
            ValueError: If there is no time step.
        """
        if x.dim() < 2 or x.shape[0] < 1:
            raise ValueError(f'{type(self).__name__} takes (T, B, ...) with T >= 1, got shape {tuple(x.shape)}.')
        spikes, v = [], None
        for x_t in x:
            spike, v = self.step(x_t, v)
            spikes.append(spike)
        return torch.stack(spikes)

    def extra_repr(self) -> str:
        return (f'v_threshold={self.v_threshold:g}, v_reset={self.v_reset}, detach_reset={self.detach_reset}, '
                f'surrogate={self.surrogate}, backend={self.backend}')


@MODELS.register_module()
class IFNode(BaseNode):
    """Integrate-and-fire neuron: ``h = v + x``. Arguments as :class:`BaseNode`."""

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        return if_charge(x, v)


@MODELS.register_module()
class LIFNode(BaseNode):
    """Leaky integrate-and-fire neuron.

    Args:
        tau: Membrane time constant in time steps, at least 1 (1 forgets everything each step).
        decay_input: Whether the input is divided by ``tau`` too: ``h = v + (x - (v - v_rest)) / tau`` if true,
            ``h = v - (v - v_rest) / tau + x`` otherwise.
        **kwargs: As :class:`BaseNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, tau: float, decay_input: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        if not tau >= 1:
            raise ValueError(f'{type(self).__name__}: tau={tau} must be at least 1.')
        self.tau, self.decay_input = float(tau), decay_input

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        return lif_charge(x, v, self.tau, self.v_reset, self.decay_input)

    def extra_repr(self) -> str:
        return f'tau={self.tau:g}, decay_input={self.decay_input}, {super().extra_repr()}'


@MODELS.register_module()
class ParametricLIFNode(BaseNode):
    """LIF neuron whose time constant is learned: ``1 / tau = sigmoid(w)``, one ``w`` per layer (ICCV 2021).

    Args:
        tau: Initial time constant in time steps, above 1. ``w`` starts at ``-ln(tau - 1)``.
        decay_input: As :class:`LIFNode`.
        **kwargs: As :class:`BaseNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, tau: float, decay_input: bool, **kwargs) -> None:
        super().__init__(**kwargs)
        if not tau > 1:
            raise ValueError(f'{type(self).__name__}: tau={tau} must be above 1, since 1/tau = sigmoid(w) < 1.')
        self.decay_input = decay_input
        # Shape (1,), as in the published checkpoints.
        self.w = nn.Parameter(torch.tensor([-math.log(tau - 1)]))

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        return plif_charge(x, v, self.w.sigmoid().to(v.dtype), self.v_reset, self.decay_input)

    def extra_repr(self) -> str:
        return f'tau={1 / self.w.sigmoid().item():.4g}, decay_input={self.decay_input}, {super().extra_repr()}'
