"""A NIR graph from what a network does: its operations are recorded while it runs on tensors without values."""
import copy
import math
from typing import Any, Callable, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from ..models.neurons import BaseNode, SpikingNode
from .deployed import Deployed
from .nir_graph import GraphBuilder, Signal
from .nir_operations import OPERATIONS, SAME, VIEWS, WORDS, NotHeldError

HELD = ('NIR holds convolutions, linear layers, norms, mean-pools, max-pools of spikes, sums, and IF and LIF neurons '
        'with hard reset. ONNX and torch.export hold every network.')


def trace(deployed: Deployed, shape: Tuple[int, ...], dt: float) -> Tuple[GraphBuilder, Signal, int]:
    """Record a network.

    Args:
        deployed: Network whose logits are the output.
        shape: Of one sample, (C, H, W) or (T, P, H, W).
        dt: Length of a time step in seconds.

    Returns:
        The graph's nodes, the logits of one time step, and the number of time steps.

    Raises:
        ValueError: If NIR cannot hold a layer; the message names it and says why.
    """
    tracer = Tracer(dt, shape[-3:])
    network = copy.deepcopy(deployed)
    for path in network.neurons:
        node = network.model.get_submodule(path)
        network.model.set_submodule(path, _RecordedNeuron(tracer, getattr(node, 'node', node)))
    for path, module in network.named_modules():
        tracer.watch(path.removeprefix('model').removeprefix('.'), module)
    inputs = torch.empty(2, *shape, device='meta')  # two, so that the batch is no channel
    tracer.signals[inputs] = tracer.graph.input
    try:
        with tracer, torch.no_grad():
            logits = network.logits(inputs)
    except NotHeldError as error:
        path, module = tracer.running[-1] if tracer.running else ('', network.model)
        module = module.node if isinstance(module, _RecordedNeuron) else module
        where = f'{path or "the network"} ({type(module).__name__})'
        raise ValueError(f'NIR cannot hold {where}: {error}. {HELD}') from None
    return tracer.graph, tracer.signals[logits], len(logits)


class _RecordedNeuron(nn.Module):

    def __init__(self, tracer: 'Tracer', node: SpikingNode) -> None:
        super().__init__()
        self.tracer, self.node = tracer, node

    def forward(self, x: Tensor) -> Tensor:
        spikes = torch.empty(x.shape, device='meta')
        self.tracer.signals[spikes] = self.tracer.neuron(self.tracer.signals[x], self.node)
        return spikes


class Tracer(TorchFunctionMode):
    """While active, functions of tensors that have a signal become nodes of a graph.

    Args:
        dt: Length of a time step in seconds.
        shape: Of the input in one time step, (C, H, W).
    """

    def __init__(self, dt: float, shape: Tuple[int, ...]) -> None:
        super().__init__()
        self.graph = GraphBuilder(dt, shape)
        self.signals = WeakTensorKeyDictionary()
        self.running: List[Tuple[str, nn.Module]] = []

    def watch(self, path: str, module: nn.Module) -> None:
        """Know when a module runs, so that nodes and errors have its name."""
        module.register_forward_pre_hook(lambda *_: self._enter(path, module))
        module.register_forward_hook(lambda *_: self._leave())

    def _enter(self, path: str, module: nn.Module) -> None:
        self.running.append((path, module))
        self.graph.path = path

    def _leave(self) -> None:
        self.running.pop()
        self.graph.path = self.running[-1][0] if self.running else ''

    def neuron(self, x: Signal, node: SpikingNode) -> Signal:
        """Add a neuron."""
        if node.emits_integers:
            raise NotHeldError('a neuron that sums up the currents of D steps and then sends as many spikes as the sum '
                               'says')
        if not isinstance(node, BaseNode):
            raise NotHeldError(f'a neuron of the type {type(node).__name__}')
        if node.v_reset is None:
            raise NotHeldError('a soft reset; its neurons set the membrane to v_reset, none subtracts the threshold')
        signal = None if x.shape is None else self.graph.neuron(x, node)
        if signal is None:
            raise NotHeldError(f'a neuron of the type {type(node).__name__}')
        return signal

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: Optional[dict] = None) -> Any:
        kwargs = kwargs or {}
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x in self.signals]
        if not read:
            return func(*args, **kwargs)
        # Contiguous, so that strides tell which axes were moved.
        shapes, named = tree_map(_without_values, (args, kwargs))
        output = func(*shapes, **named)
        if isinstance(output, Tensor):
            self.signals[output] = self._signal(func.__name__, output, read, args, kwargs)
        elif output is None or any(isinstance(x, Tensor) for x in tree_leaves(output)):
            raise NotHeldError(WORDS.get(func.__name__, f'what {func.__name__} does'))
        return output

    def _signal(self, name: str, output: Tensor, read: List[Tensor], args: tuple, kwargs: dict) -> Signal:
        if name in SAME and args[0] not in self.signals:
            raise NotHeldError(f'constants that are made like a signal ({name})')
        if name in SAME:
            return self.signals[read[0]]
        if name in VIEWS:
            return self._viewed(self.signals[read[0]], output)
        if name not in OPERATIONS:
            raise NotHeldError(WORDS.get(name, f'what {name} computes'))
        args, kwargs = tree_map(lambda x: self.signals.get(x, x) if isinstance(x, Tensor) else x, (args, kwargs))
        if any(self.signals[x].shape is None for x in read):
            raise NotHeldError(f'{name} on a map whose axes are rearranged')
        return OPERATIONS[name](self.graph, output, *args, **kwargs)

    def _viewed(self, x: Signal, output: Tensor) -> Signal:
        """Time and batch may be split, joined and swapped; the axes of a sample must lie in memory as before."""
        if x.shape is not None:
            axes, strides = len(x.shape), torch.empty(x.shape, device='meta').stride()
            if (output.shape[-axes:], output.stride()[-axes:]) == (x.shape, strides):
                return x
            if axes > 1 and (output.shape[-1], output.stride(-1)) == (math.prod(x.shape), 1):
                return self.graph.flatten(x)
        return Signal(x.sources, None, x.largest)


def _without_values(x: Any) -> Any:
    return torch.empty(x.shape, dtype=x.dtype, device='meta') if isinstance(x, Tensor) else x
