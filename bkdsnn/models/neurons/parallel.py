"""Parallel spiking neurons: no reset, so that all time steps are one product with a matrix over time.

Fang et al., NeurIPS 2023, arXiv 2304.12760: ``H = W X + b``, spikes where ``H >= 0``. The bias starts at -1: it is
minus the threshold.
"""
import math
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .base import SpikingNode
from .compiled_numbers import check_compiled_steps, compiles, run_with_numbers
from .nodes import check_backend, in_full_precision
from .surrogate import Surrogate


class ParallelNode(SpikingNode):
    """What parallel neurons share. Subclasses give the matrix over time.

    Args:
        surrogate: As :class:`bkdsnn.models.neurons.nodes.BaseNode`; the authors use ``dict(type='ATan', alpha=2.0)``.
        backend: ``'eager'``, one product with the matrix; ``'compile'``, one pass over memory each way
            (:mod:`bkdsnn.models.neurons.compiled_numbers`), for up to eight time steps; or ``'auto'``, which compiles
            where it pays and can be done.

    Raises:
        ValueError: If an argument is out of range, or the backend is unknown or cannot run.
    """

    has_membrane = False
    max_compiled_steps = 8

    def __init__(self, *, surrogate: dict, backend: str = 'auto') -> None:
        super().__init__()
        check_backend(backend)
        self.surrogate, self.backend = Surrogate(**surrogate), backend

    def why_no_stream(self) -> str:
        return 'a spike may depend on currents of later steps'

    def matrix(self, time_steps: int) -> Tensor:
        """Weights of all steps (in columns) for each step (in rows), (T, T)."""
        raise NotImplementedError

    def numbers(self, time_steps: int) -> Tensor:
        """What :meth:`steps_with` takes: the weights row by row, and the biases."""
        return torch.cat([self.matrix(time_steps).flatten(), self.bias.flatten()])

    def steps_with(self, x: Sequence[Tensor], numbers: Sequence[Tensor]) -> List[Tensor]:
        """Spikes of each step (B, ...) of the currents of all steps; this is what is compiled."""
        rows = [numbers[t * len(x):(t + 1) * len(x)] for t in range(len(x) + 1)]
        return [self._spike(x, row, bias) for row, bias in zip(rows, rows[-1])]

    def _spike(self, x: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor) -> Tensor:
        return self.surrogate(sum((weight * x_t.to(weight.dtype) for weight, x_t in zip(weights, x)), bias))

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        with in_full_precision(x):
            dtype = torch.promote_types(x.dtype, torch.float32)
            if compiles(self, x) and (spikes := run_with_numbers(self, x, self.numbers(len(x)).to(dtype))) is not None:
                return spikes
            weight, bias = self.matrix(len(x)).to(dtype), self.bias.to(dtype)
            # Rows of the bias, or one for all, under the products with the steps.
            h = torch.addmm(bias.reshape(-1, 1), weight, x.to(dtype).flatten(1))
        return self.surrogate(h).to(x.dtype).view(x.shape)

    def extra_repr(self) -> str:
        return f'surrogate={self.surrogate}'


@MODELS.register_module()
class PSNNode(ParallelNode):
    """Parallel spiking neuron: each step reads all steps, later ones too, with weights of its own.

    Args:
        T: Time steps; its weights are tied to them, so that it runs with no other T.
        **kwargs: As :class:`ParallelNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, T: int, **kwargs) -> None:
        super().__init__(**kwargs)
        if not isinstance(T, int) or T < 1:
            raise ValueError(f'{type(self).__name__}: T={T} must be an integer of at least 1, the T of the backbone.')
        self.time_steps = T
        check_compiled_steps(self, T)
        self.weight = nn.Parameter(torch.empty(T, T))
        self.bias = nn.Parameter(torch.full((T, 1), -1.0))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def matrix(self, time_steps: int) -> Tensor:
        return self.weight

    def extra_repr(self) -> str:
        return f'T={self.time_steps}, {super().extra_repr()}'


@MODELS.register_module()
class MaskedPSNNode(PSNNode):
    """Masked parallel spiking neuron: steps other than the last ``k`` fade out of each step's weights.

    The weights are multiplied by ``mask * M + (1 - mask)``, where ``M`` is 1 for the last ``k`` steps.

    Args:
        T: As :class:`PSNNode`.
        k: Order: how many steps, with the present one, are left where ``mask`` is 1; from 1 to T.
        mask: From 0 (a :class:`PSNNode`) to 1 (no step reads a later one). It is a buffer, saved with the weights;
            raise it in training by setting ``node.mask.fill_(value)``.
        **kwargs: As :class:`ParallelNode`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, *, T: int, k: int, mask: float, **kwargs) -> None:
        super().__init__(T=T, **kwargs)
        if not isinstance(k, int) or not 1 <= k <= T:
            raise ValueError(f'{type(self).__name__}: k={k} must be an integer from 1 to T={T}.')
        if not 0 <= mask <= 1:
            raise ValueError(f'{type(self).__name__}: mask={mask} must be from 0 to 1.')
        self.k = k
        self.register_buffer('mask', torch.tensor(float(mask)))

    def why_no_stream(self) -> str:
        return 'each step has weights of its own, and may read currents of later steps'

    def matrix(self, time_steps: int) -> Tensor:
        ones = torch.ones_like(self.weight)
        band = ones.tril().triu(1 - self.k)
        return self.weight * (self.mask * band + (1 - self.mask))

    def extra_repr(self) -> str:
        return f'k={self.k}, mask={self.mask.item():g}, {super().extra_repr()}'


@MODELS.register_module()
class SlidingPSNNode(ParallelNode):
    """Sliding parallel spiking neuron: ``h[t] = sum_i w[i] x[t - k + 1 + i] + b``, the same for every step.

    It runs with any number of time steps, and step by step.

    Args:
        k: Order: how many steps, with the present one, a step reads; those before the first are 0.
        exp_init: Start with ``w = (..., 1/4, 1/2, 1)``, as a leaky neuron of ``tau = 2`` weighs its past; else as a
            linear layer of ``k`` inputs.
        **kwargs: As :class:`ParallelNode`.

    Raises:
        ValueError: If ``k`` is less than 1.
    """

    streams = True

    def __init__(self, *, k: int, exp_init: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        if not isinstance(k, int) or k < 1:
            raise ValueError(f'{type(self).__name__}: k={k} must be an integer of at least 1.')
        self.k = k
        self.weight = nn.Parameter(torch.empty(1, k))
        if exp_init:
            self.weight.data.copy_(0.5**torch.arange(k - 1, -1, -1))
        else:
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.weight.data = self.weight.data[0]
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def matrix(self, time_steps: int) -> Tensor:
        # Row t holds the weights of the steps t - k + 1 to t.
        steps = torch.arange(time_steps, device=self.weight.device)
        index = steps - steps.view(-1, 1) + self.k - 1
        inside = (index >= 0) & (index < self.k)
        return self.weight[index.clamp(0, self.k - 1)] * inside

    def numbers(self, time_steps: int) -> Tensor:
        return torch.cat([self.weight, self.bias.view(1)])

    def steps_with(self, x: Sequence[Tensor], numbers: Sequence[Tensor]) -> List[Tensor]:
        weights, bias = numbers[:-1], numbers[-1]
        windows = [x[max(t - self.k, 0):t] for t in range(1, len(x) + 1)]
        return [self._spike(window, weights[self.k - len(window):], bias) for window in windows]

    def forward(self, x: Tensor) -> Tensor:
        if self._stored is None:
            return super().forward(x)
        self.check_input(x)
        spikes, v = [], self._stored.get(self)
        for x_t in x:
            spike, v = self.step(x_t, v)
            spikes.append(spike)
        self._stored[self] = v
        return torch.stack(spikes)

    def step(self, x: Tensor, v: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One time step; the state are the currents of the last ``k - 1`` steps, (B, k - 1, ...)."""
        with in_full_precision(x):
            dtype = torch.promote_types(x.dtype, torch.float32)
            x_t = x.to(dtype).unsqueeze(1)
            before = x_t.new_zeros(len(x), self.k - 1, *x.shape[1:]) if v is None else v
            window = torch.cat([before, x_t], 1)
            h = torch.einsum('k,bk...->b...', self.weight.to(dtype), window) + self.bias.to(dtype)
        return self.surrogate(h).to(x.dtype), window[:, 1:]

    def extra_repr(self) -> str:
        return f'k={self.k}, {super().extra_repr()}'
