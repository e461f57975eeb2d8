"""One time step of each neuron as a pure function: charge, then fire and reset. No state is kept anywhere."""
from typing import Optional, Tuple, Union

from torch import Tensor

from .surrogate import Surrogate


def if_charge(x: Tensor, v: Tensor) -> Tensor:
    """Integrate without leak: ``h = v + x``. All tensors (B, ...)."""
    return v + x


def lif_charge(x: Tensor, v: Tensor, tau: float, v_reset: Optional[float], decay_input: bool) -> Tensor:
    """Leaky integration towards the resting potential (``v_reset``, or 0 under soft reset).

    ``decay_input=True``: ``h = v + (x - (v - v_rest)) / tau``; ``False``: ``h = v - (v - v_rest) / tau + x``.
    """
    above_rest = v - v_reset if v_reset else v
    return v + (x - above_rest) / tau if decay_input else v - above_rest / tau + x


def plif_charge(x: Tensor, v: Tensor, decay: Tensor, v_reset: Optional[float], decay_input: bool) -> Tensor:
    """As :func:`lif_charge` with a learned ``decay = 1 / tau`` (PLIF, Fang et al., ICCV 2021, eq. 11)."""
    above_rest = v - v_reset if v_reset else v
    return v + (x - above_rest) * decay if decay_input else v - above_rest * decay + x


def fire(h: Tensor, v_threshold: Union[float, Tensor], surrogate: Surrogate, strict: bool = False) -> Tensor:
    """Spikes (B, ...) where ``h >= v_threshold``; if ``strict``, where ``h > v_threshold``.

    A strict spike is what the other side of the threshold is not; an even surrogate gives both the same gradient.
    """
    return 1 - surrogate(v_threshold - h) if strict else surrogate(h - v_threshold)


def fire_and_reset(h: Tensor, v_threshold: Union[float, Tensor], v_reset: Optional[float], surrogate: Surrogate,
                   detach_reset: bool, strict: bool = False) -> Tuple[Tensor, Tensor]:
    """Spike where ``h >= v_threshold``, then reset.

    Args:
        h: Membrane potential after the charge, shape (B, ...).
        v_reset: Potential after a hard reset; ``None`` subtracts the threshold instead (soft reset).
        detach_reset: Keep the gradient of the reset out of the backward pass.
        strict: Spike where ``h > v_threshold`` only.

    Returns:
        Spikes in {0, 1} with the surrogate's gradient, and the membrane after reset; both (B, ...).
    """
    spike = fire(h, v_threshold, surrogate, strict)
    reset = spike.detach() if detach_reset else spike
    if v_reset is None:
        return spike, h - reset * v_threshold
    return spike, (1 - reset) * h + reset * v_reset
