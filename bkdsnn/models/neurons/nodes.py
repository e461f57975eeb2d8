"""Spiking neurons as modules over the pure steps of :mod:`bkdsnn.models.neurons.functional`."""
import math
from contextlib import AbstractContextManager, nullcontext
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from bkdsnn.registry import MODELS
from bkdsnn.utils.log_once import log_once

from .base import SpikingNode, State, rest_like, states_of
from .compiled import run_compiled
from .functional import fire_and_reset, if_charge, lif_charge, plif_charge
from .kernels import NotTraceableError, only_allocates, why_not
from .surrogate import Surrogate

BACKENDS = ('auto', 'eager', 'compile')
# On a CPU, inputs with fewer numbers are done sooner than compiling pays.
MIN_NUMBERS_TO_COMPILE = 2**18


def check_backend(backend: str) -> None:
    """Check that a backend exists and can run.

    Raises:
        ValueError: If it is unknown, or ``'compile'`` and there is no compiler.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend={backend!r} is unknown; choose from {list(BACKENDS)}.')
    if backend == 'compile':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        reason = why_not(device)
        if reason:
            raise ValueError(f"backend='compile' cannot be used: {reason}. Or set backend='eager', or 'auto', which "
                             'falls back to it.')


def choose_backend(asked: str, x: Tensor) -> str:
    """What runs on an input; ``'auto'`` chooses, and says once for each device and choice what and why.

    It is ``'eager'`` inside a model that is compiled as a whole, on meta tensors, and where a graph is traced.
    """
    if asked == 'eager' or torch.compiler.is_compiling() or x.is_meta or is_fake(x) and not only_allocates(x):
        return 'eager'
    if asked == 'compile':
        return 'compile'
    device = x.device.type
    if device == 'cpu' and x.numel() < MIN_NUMBERS_TO_COMPILE:
        chosen, reason = 'eager', f'for inputs of fewer than {MIN_NUMBERS_TO_COMPILE} numbers'
    elif why_not(device):
        chosen, reason = 'eager', f'since {why_not(device)}'
    else:
        chosen, reason = 'compile', 'for larger inputs' if device == 'cpu' else 'for all inputs'
    log_once(f"Neurons: backend='auto' chose {chosen!r} on {device}, {reason}.")
    return chosen


class StepNode(SpikingNode):
    """A neuron that runs one step after the other, compiled where that pays. Subclasses implement :meth:`step`.

    Args:
        backend: ``'eager'``; ``'compile'`` for one fused pass over memory each way
            (:mod:`bkdsnn.models.neurons.compiled`); or ``'auto'``, which compiles where it pays and can be done.

    Raises:
        ValueError: If the backend is unknown or cannot run.
    """

    num_states = 1  # tensors that a step hands to the next
    _rests_at_rest: Optional[bool] = None

    def __init__(self, *, backend: str = 'auto') -> None:
        super().__init__()
        check_backend(backend)
        self.backend = backend

    @property
    def streams(self) -> bool:
        """As of any neuron; a subclass with a ``forward`` of its own says so itself."""
        return type(self).forward is StepNode.forward

    @property
    def takes_norm(self) -> bool:
        """Whether :meth:`forward` can run a batch norm in the same pass: if it is none of a subclass's own."""
        return type(self).forward is StepNode.forward

    def rest(self, x: Tensor) -> State:
        """State at rest for inputs like ``x`` (B, ...), in fp32 at least."""
        states = tuple(rest_like(x) for _ in range(self.num_states))
        return states[0] if self.num_states == 1 else states or None

    def why_no_rest(self, x: Tensor) -> Optional[str]:
        """Why a run cannot begin at :meth:`rest`: a step of one's own that begins elsewhere; ``None`` if it can.

        Args:
            x: Currents (B, ...) to try it on, once.
        """
        has_values = not (x.is_meta or is_fake(x))
        if has_values and self._rests_at_rest is None and not type(self).step.__module__.startswith('bkdsnn.'):
            x, found = x.to(torch.promote_types(x.dtype, torch.float32)), []
            for v in (None, self.rest(x)):
                # Both draw the same random numbers, if any.
                with torch.no_grad(), in_full_precision(x), torch.random.fork_rng([x.device] if x.is_cuda else []):
                    spikes, after = self.step(x, v)
                found.append((spikes, *states_of(after)))
            self._rests_at_rest = all(map(torch.equal, *found))
        return None if self._rests_at_rest in (None, True) else (
            f'{type(self).__name__}.step begins elsewhere without a state than with what {type(self).__name__}.rest '
            'gives; let rest(x) return that state')

    def run_steps(self, x: Sequence[Tensor], v: State = None) -> Tuple[List[Tensor], State]:
        """Steps one after the other; this is what all backends compute.

        Args:
            x: Input current of each step, shape (B, ...).
            v: State before the first step; ``None`` is rest.

        Returns:
            Spikes of each step (B, ...), and the state after the last one.
        """
        spikes = []
        for x_t in x:
            spike, v = self.step(x_t, v)
            spikes.append(spike)
        return spikes, v

    def forward(self, x: Tensor, backend: Optional[str] = None, norm: Optional[nn.Module] = None) -> Tensor:
        """Run all time steps, from rest unless a stream or :class:`bkdsnn.models.TimeChunks` goes on with them.

        Args:
            x: Input current, shape (T, B, ...).
            backend: Instead of the node's own.
            norm: Batch norm to run before, on an ``x`` of (T, B, C, H, W); compiled, both take one pass.

        Returns:
            Spikes, shape (T, B, ...).

        Raises:
            ValueError: If there is no time step, the backend is unknown, or a step of one's own does not begin at rest.
            TypeError: If ``backend='compile'`` meets a neuron of your own whose code depends on more than its input,
                parameters, buffers and constants.
            RuntimeError: If ``backend='compile'`` fails to compile.
        """
        self.check_input(x)
        if backend is not None:  # here, as the node's own has been checked
            check_backend(backend)
        if self._stored is None:
            return self._run(x, backend or self.backend, norm)[0]
        if norm is not None:
            x = norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        v = self._stored.get(self)
        if v is None and (reason := self.why_no_rest(x[0])):
            raise ValueError(f'{reason}, so that the node can run step by step.')
        spikes, self._stored[self] = self._run(x, backend or self.backend, v=self.rest(x[0]) if v is None else v)
        return spikes

    def _run(self, x: Tensor, backend: str, norm: Optional[nn.Module] = None, v: State = None) -> Tuple[Tensor, State]:
        """Spikes, and the state after the last step where one is given for the first."""
        is_streaming = v is not None and not torch.is_grad_enabled()  # single steps are not worth a kernel
        if not is_streaming and choose_backend(backend, x) == 'compile':
            try:
                return run_compiled(self, x, backend == 'auto', norm, v)
            except NotTraceableError as error:
                if backend == 'compile':
                    raise
                log_once(f"Neurons: {error}; backend='auto' goes on with 'eager'.")
        if norm is not None:
            x = norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        spikes, v = self.run_steps(x, v)
        return torch.stack(spikes), v

    def extra_repr(self) -> str:
        return f'backend={self.backend}'


def in_full_precision(x: Tensor) -> AbstractContextManager:
    """Inside the block nothing is computed in half precision on the device of ``x``."""
    # The meta device, on which operations are counted, has no autocast.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class BaseNode(StepNode):
    """What integrate-and-fire neurons share: threshold, reset and surrogate.

    Subclasses implement :meth:`charge`.

    Args:
        v_threshold: Firing threshold, above ``v_reset`` (above 0 under soft reset). A neuron spikes at
            ``h >= v_threshold``.
        v_reset: Potential after a spike and at rest; ``None`` selects soft reset (subtract the threshold).
        detach_reset: Keep the gradient of the reset out of the backward pass.
        surrogate: ``dict(type=..., alpha=...)``, see :mod:`bkdsnn.models.neurons.surrogate`.
        strict: Spike at ``h > v_threshold`` only, as in the code of TET; the surrogate must be even.
        backend: As :class:`StepNode`.

    These have no defaults but ``strict`` and ``backend``: a recipe writes them down, so that no default can change
    under it.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, v_threshold: float, v_reset: Optional[float], detach_reset: bool, surrogate: dict,
                 strict: bool = False, backend: str = 'auto') -> None:
        super().__init__(backend=backend)
        if not v_threshold > (v_reset or 0.0):
            raise ValueError(f'{type(self).__name__}: v_threshold={v_threshold} must be above the resting potential '
                             f'{v_reset or 0.0} (v_reset={v_reset}).')
        self.v_threshold = float(v_threshold)
        self.v_reset = None if v_reset is None else float(v_reset)
        self.detach_reset = detach_reset
        self.surrogate = Surrogate(**surrogate)
        self.strict = strict

    def charge(self, x: Tensor, v: Tensor) -> Tensor:
        """Membrane potential (B, ...) after the input current ``x`` (B, ...) has flowed in."""
        raise NotImplementedError

    def rest(self, x: Tensor) -> Tensor:
        """Membrane at rest for inputs like ``x``, in fp32 at least."""
        return rest_like(x, self.v_reset or 0.0)

    def step(self, x: Tensor, v: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One time step, for streaming.

        Args:
            x: Input current, shape (B, ...).
            v: Membrane potential before the step; ``None`` is the membrane at rest.

        Returns:
            Spikes in {0, 1} with the dtype of ``x``, and the membrane after reset in fp32 (fp64 for fp64 input).
        """
        v = self.rest(x) if v is None else v
        with in_full_precision(x):
            h = self.charge(x.to(v.dtype), v)
            spike, v = fire_and_reset(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset, self.strict)
        return spike.to(x.dtype), v

    def extra_repr(self) -> str:
        strict = ', strict=True' if self.strict else ''
        return (f'v_threshold={self.v_threshold:g}, v_reset={self.v_reset}, detach_reset={self.detach_reset}, '
                f'surrogate={self.surrogate}{strict}, {super().extra_repr()}')


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
