"""NIR graphs back in PyTorch: through nirtorch, with neurons that follow the equations of NIR."""
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from ..utils.optional import require

if TYPE_CHECKING:
    import nir


class NIRNeuron(nn.Module):
    """A neuron of NIR in steps of ``dt``, by Euler's method: charge, fire above the threshold, reset to ``v_reset``.

    IF: ``v + dt * r * x``; LIF: ``v + dt / tau * (v_leak - v + r * x)``.

    Args:
        node: ``nir.IF`` or ``nir.LIF``.
        dt: Length of a time step in seconds.
    """

    def __init__(self, node: Any, dt: float) -> None:
        super().__init__()
        self.is_leaky = hasattr(node, 'tau')
        self._keep('gain', dt * node.r / node.tau if self.is_leaky else dt * node.r)
        self._keep('v_threshold', node.v_threshold)
        self._keep('v_reset', node.v_reset)
        if self.is_leaky:
            self._keep('decay', dt / node.tau)
            self._keep('v_leak', node.v_leak)

    def _keep(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.as_tensor(np.ascontiguousarray(value)))

    def forward(self, x: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: input current (B, ...) to spikes (B, ...) and membrane, which starts at ``v_reset``."""
        v = self.v_reset.expand_as(x) if state is None else state
        h = v + self.gain * x
        if self.is_leaky:
            h = h + self.decay * (self.v_leak - v)
        fires = h > self.v_threshold
        return fires.to(x.dtype), torch.where(fires, self.v_reset, h)


def from_nir(graph: 'nir.NIRGraph', dt: Optional[float] = None, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Build a module from a graph of :func:`bkdsnn.export.to_nir`.

    Args:
        graph: The graph, or the path of its file.
        dt: Length of a time step in seconds; ``None`` takes that in the graph's metadata.
        dtype: To compute with.

    Returns:
        A module from one frame (B, C, H, W), and the state that it returned before, to logits (B, K) and state.

    Raises:
        ModuleNotFoundError: If nir or nirtorch is not installed.
        ValueError: If the graph has other nodes, or does not say ``dt``.
    """
    nir = require('nir', 'nir', 'reading NIR')
    nirtorch = require('nirtorch', 'nirtorch', 'running NIR')
    graph = graph if isinstance(graph, nir.NIRGraph) else nir.read(graph)
    dt = graph.metadata.get('dt') if dt is None else dt
    if dt is None:
        raise ValueError('the graph does not say the length of its time steps; give dt.')
    makers = _makers(nir, float(dt))
    foreign = {type(node).__name__ for node in graph.nodes.values() if type(node) not in makers}
    if foreign:
        raise ValueError(f'the graph has nodes that are not read here: {", ".join(sorted(foreign))}.')
    return nirtorch.nir_to_torch(graph, makers, dtype=dtype).eval().requires_grad_(False)


def run_nir(module: nn.Module, inputs: Tensor, time_steps: int) -> Tensor:
    """Logits of all time steps.

    Args:
        module: From :func:`from_nir`.
        inputs: Images (B, C, H, W), which are shown in each step, or frames (B, T, P, H, W).
        time_steps: For which images are shown.

    Returns:
        Logits (T, B, K).
    """
    frames = inputs.unbind(1) if inputs.dim() == 5 else [inputs] * time_steps
    logits, state = [], None
    for frame in frames:
        out, state = module(frame, state)
        logits.append(out)
    return torch.stack(logits)


def _makers(nir: Any, dt: float) -> Dict[type, Callable[[Any], nn.Module]]:
    """nirtorch's own maps drop the bias of linear layers and do not know neurons."""
    return {
        nir.Input: lambda node: nn.Identity(),
        nir.Output: lambda node: nn.Identity(),
        nir.Conv2d: _conv,
        nir.Affine: _linear,
        nir.Linear: _linear,
        nir.AvgPool2d: lambda node: nn.AvgPool2d(*(tuple(map(int, v)) for v in (
            node.kernel_size, node.stride, node.padding))),
        # A shape in NIR has no batch axis.
        nir.Flatten: lambda node: nn.Flatten(*(int(d) + (d >= 0) for d in (node.start_dim, node.end_dim))),
        nir.IF: lambda node: NIRNeuron(node, dt),
        nir.LIF: lambda node: NIRNeuron(node, dt),
    }


def _filled(layer: nn.Module, node: Any) -> nn.Module:
    weights = {name: torch.as_tensor(getattr(node, name)) for name in layer.state_dict()}
    layer.load_state_dict(weights)
    return layer


def _linear(node: Any) -> nn.Module:
    rows, columns = node.weight.shape
    return _filled(nn.Linear(columns, rows, bias=hasattr(node, 'bias')), node)


def _conv(node: Any) -> nn.Module:
    groups = int(node.groups)
    out_channels, in_channels, *kernel = node.weight.shape
    padding = node.padding if isinstance(node.padding, str) else tuple(map(int, node.padding))
    stride, dilation = (tuple(map(int, v)) for v in (node.stride, node.dilation))
    return _filled(nn.Conv2d(in_channels * groups, out_channels, kernel, stride, padding, dilation, groups), node)
