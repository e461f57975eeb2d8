"""A NIR graph in the making. What its layers pass on are signals: outputs of nodes that add up."""
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple, Union

import numpy as np

from ..models.neurons import BaseNode, IFNode, LIFNode, ParametricLIFNode
from ..utils.optional import require
from .nir_fold import Conv, Edges, Norm, fold_norms, only_needed

Pair = Union[int, Tuple[int, int]]
Numbers = Union[float, np.ndarray]


@dataclass(frozen=True)
class Signal:
    """What flows along edges.

    Attributes:
        sources: Names of the nodes whose outputs add up to it.
        shape: Of one sample in one time step, (C, H, W) or (C, ); ``None`` where its axes were taken apart.
        largest: Of whole numbers from 0 on, as spikes and their sums are, the largest one; ``None`` for other numbers.
    """

    sources: Tuple[str, ...]
    shape: Optional[Tuple[int, ...]]
    largest: Optional[int] = None


class GraphBuilder:
    """Collects nodes, each named after the module that it comes from (``path``).

    Args:
        dt: Length of a time step in seconds.
        shape: Of the input in one time step, (C, H, W).

    Raises:
        ModuleNotFoundError: If nir is not installed.
        ValueError: If ``dt`` is not positive.
    """

    def __init__(self, dt: float, shape: Tuple[int, ...]) -> None:
        if not dt > 0:
            raise ValueError(f'dt={dt} must be positive: it is the length of a time step in seconds.')
        self.nir = require('nir', 'nir', 'the export to NIR')
        self.dt, self.path = dt, ''
        self.nodes: Dict[str, Any] = {'input': self.nir.Input(np.array(shape))}
        self.edges: Edges = []
        self.input = Signal(('input', ), tuple(shape))

    def add(self, node: Any, x: Signal, shape: Tuple[int, ...], name: str = '', largest: Optional[int] = None
            ) -> Signal:
        """Add a node that reads ``x``; ``name`` tells the nodes of one module apart."""
        base = name = '.'.join(filter(None, (self.path, name)))
        number = 1
        while name in self.nodes:
            number += 1
            name = f'{base}_{number}'
        self.nodes[name] = node
        self.edges += [(source, name) for source in x.sources]
        return Signal((name, ), tuple(shape), largest)

    def conv(self, x: Signal, weight: np.ndarray, bias: Optional[np.ndarray], stride: Pair, padding: Union[Pair, str],
             dilation: Pair, groups: int, shape: Tuple[int, ...], name: str = '') -> Signal:
        """Add a convolution with an output of ``shape`` (C, H, W)."""
        bias = np.zeros(len(weight)) if bias is None else bias
        settings = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        return self.add(Conv(weight, bias, settings, x.shape[1:]), x, shape, name)

    def norm(self, x: Signal, scale: Numbers, shift: Numbers, name: str = '') -> Signal:
        """Add ``x * scale + shift`` on a map (C, H, W); both are numbers or (C, )."""
        scale, shift = (np.broadcast_to(np.asarray(v, np.float64), x.shape[:1]) for v in (scale, shift))
        return self.add(Norm(scale, shift, x.shape[1:]), x, x.shape, name)

    def mean_pool(self, x: Signal, window: Tuple[int, int], stride: Tuple[int, int], padding: Tuple[int, int],
                  size: Tuple[int, int], name: str = '') -> Signal:
        """Add a mean-pool with an output of ``size`` (H, W), whose border of zeros counts."""
        node = self.nir.AvgPool2d(*(np.array(v) for v in (window, stride, padding)))
        return self.add(node, x, (x.shape[0], *size), name)

    def flatten(self, x: Signal) -> Signal:
        """Add the step from a map (C, H, W) to (C * H * W, )."""
        node = self.nir.Flatten({'input': np.array(x.shape)}, start_dim=0, end_dim=-1)
        return self.add(node, x, (int(np.prod(x.shape)), ), 'flatten')

    def linear(self, x: Signal, weight: np.ndarray, bias: Optional[np.ndarray]) -> Signal:
        """Add a linear layer on (C, )."""
        weight = weight.astype(np.float32)
        node = self.nir.Linear(weight) if bias is None else self.nir.Affine(weight, bias.astype(np.float32))
        return self.add(node, x, weight.shape[:1])

    def fire_at(self, x: Signal, threshold: float, name: str) -> Signal:
        """Add a neuron without memory, which fires where ``x`` is above a threshold.

        No value of ``x`` may be negative, and only 0 may be below the threshold: then each input fires and resets it.
        It is of the network's kind, as some simulators and chips know one kind only.
        """
        is_leaky = any(isinstance(node, self.nir.LIF) for node in self.nodes.values())
        node = self._leaky(x.shape, 2.0, 2.0, threshold, 0.0) if is_leaky else self._integrator(x.shape, threshold, 0.0)
        return self.add(node, x, x.shape, name, largest=1)

    def neuron(self, x: Signal, node: BaseNode) -> Optional[Signal]:
        """Add a neuron with hard reset; ``None`` if NIR has none of its type."""
        # NIR fires above the threshold, we at it unless strict: the next lower number in single precision is its own.
        threshold = float(np.float32(node.v_threshold))
        if not node.strict:
            threshold = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))
        if type(node) is IFNode:
            made = self._integrator(x.shape, threshold, node.v_reset)
        elif type(node) in (LIFNode, ParametricLIFNode):
            tau = node.tau if type(node) is LIFNode else 1 / node.w.detach().double().sigmoid().item()
            made = self._leaky(x.shape, tau, 1.0 if node.decay_input else tau, threshold, node.v_reset)
        else:
            return None
        return self.add(made, x, x.shape, largest=1)

    def _integrator(self, shape: Tuple[int, ...], threshold: float, v_reset: float) -> Any:
        return self.nir.IF(*self._full(shape, 1 / self.dt, threshold, v_reset))

    def _leaky(self, shape: Tuple[int, ...], tau: float, gain: float, threshold: float, v_reset: float) -> Any:
        return self.nir.LIF(*self._full(shape, tau * self.dt, gain, v_reset, threshold, v_reset))

    @staticmethod
    def _full(shape: Tuple[int, ...], *values: float) -> Tuple[np.ndarray, ...]:
        return tuple(np.full(shape, value) for value in values)

    def sum(self, *signals: Signal) -> Signal:
        """Add signals, which takes no node: where edges meet, they add up."""
        total, *others = signals
        for x in others:
            if set(total.sources) & set(x.sources):  # no two edges join the same nodes
                x = self._same(x)
            known = total.largest is not None and x.largest is not None
            total = Signal(total.sources + x.sources, total.shape, total.largest + x.largest if known else None)
        return total

    def _same(self, x: Signal) -> Signal:
        """Add a node that passes ``x`` on."""
        if len(x.shape) == 3:
            return self.norm(x, 1.0, 0.0, 'same')
        return self.add(self.nir.Linear(np.eye(*x.shape, dtype=np.float32)), x, x.shape, 'same')

    def finish(self, x: Signal, metadata: dict) -> Any:
        """The ``nir.NIRGraph`` with the output ``x``."""
        if len(x.sources) > 1:  # nirtorch does not add up what meets at an output
            x = self._same(x)
        nodes = {**self.nodes, 'output': self.nir.Output(np.array(x.shape))}
        edges = [*self.edges, (*x.sources, 'output')]
        nodes, edges = fold_norms(*only_needed(nodes, edges, 'output'))
        nodes = {name: self._convolution(node) if isinstance(node, Conv) else node for name, node in nodes.items()}
        return self.nir.NIRGraph(nodes, edges, metadata)

    def _convolution(self, conv: Conv) -> Any:
        weight, bias = conv.weight.astype(np.float32), conv.bias.astype(np.float32)
        return self.nir.Conv2d(tuple(map(int, conv.size)), weight, bias=bias, **conv.settings)
