"""Watches what a network computes: the operands of its products, and the spikes of its neurons."""
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..models.neurons import SpikingNode
from ..models.unfolding import has_integers, is_spike_driven, set_spike_driven

aten = torch.ops.aten
# Where the operands stand among the arguments.
OPERANDS = {aten.convolution: (0, 1), aten.mm: (0, 1), aten.addmm: (1, 2), aten.bmm: (0, 1), aten.baddbmm: (1, 2)}


@dataclass(frozen=True)
class Values:
    """What an operand held: the sum of its absolute values, and which numbers occur."""

    total: float
    nonzero: float
    size: int
    whole: bool
    binary: bool

    @classmethod
    def of(cls, x: Tensor) -> 'Values':
        """Those of a tensor."""
        found = (x.abs().sum(dtype=torch.float64), x.count_nonzero(), (x == x.round()).all(),
                 ((x == 0) | (x == 1)).all())
        total, nonzero, whole, binary = torch.stack([value.double() for value in found]).tolist()  # one transfer
        return cls(total, nonzero, x.numel(), bool(whole), bool(binary))

    def __add__(self, other: 'Values') -> 'Values':
        return Values(self.total + other.total, self.nonzero + other.nonzero, self.size + other.size,
                      self.whole and other.whole, self.binary and other.binary)

    @property
    def rate(self) -> float:
        """Mean of the absolute values: the firing rate, if these are spikes."""
        return self.total / self.size


@dataclass(frozen=True)
class Operation:
    """Work of a layer.

    Attributes:
        kind: ``'conv'``, ``'linear'`` or ``'product'``.
        macs: Multiply-accumulates if nothing is skipped.
        operands: Without weights.
        exact: Accumulates counted one by one; ``None`` where that is no convolution of whole numbers.
        reads_image: Whether an operand is the network's static image.
    """

    kind: str
    macs: int
    operands: Tuple[Values, ...]
    exact: Optional[float]
    reads_image: bool

    def __add__(self, other: 'Operation') -> 'Operation':
        exact = None if self.exact is None or other.exact is None else self.exact + other.exact
        return Operation(self.kind, self.macs + other.macs,
                         tuple(a + b for a, b in zip(self.operands, other.operands)), exact,
                         self.reads_image or other.reads_image)

    @property
    def driver(self) -> Optional[Values]:
        """The operand whose spikes cause the accumulates; ``None`` where the layer multiplies."""
        index = self.driver_index
        return None if index is None else self.operands[index]

    @property
    def driver_index(self) -> Optional[int]:
        """Its place among the operands: binary spikes before integers, and of two such, those that fire less."""
        if self.reads_image:
            return None
        whole = [i for i, values in enumerate(self.operands) if values.whole]
        return min(whole, key=lambda i: (not self.operands[i].binary, self.operands[i].rate), default=None)


@dataclass(frozen=True)
class Firing:
    """Spikes of each neuron of a layer, in how many steps they could have spiked, and T."""

    spikes: Tensor
    steps: int
    time_steps: int

    def __add__(self, other: 'Firing') -> 'Firing':
        return Firing(self.spikes + other.spikes.to(self.spikes.device), self.steps + other.steps,
                      max(self.time_steps, other.time_steps))


Counted = TypeVar('Counted', Operation, Firing)


def merge(into: Dict[str, Counted], more: Dict[str, Counted]) -> None:
    """Add up what is counted under the same names."""
    for name, value in more.items():
        into[name] = into[name] + value if name in into else value


def fan_out_sum(x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
                transposed: bool, output_padding: Sequence[int], groups: int) -> float:
    """Sum of ``|x|`` (N, C, ...), each times the number of outputs that it reaches in a convolution.

    Elements near a border reach fewer, and those that a stride skips reach none.
    """
    outputs_per_group = weight.shape[1] if transposed else weight.shape[0] // groups
    summed = x.abs().unflatten(1, (groups, -1)).sum(2, dtype=torch.float64)
    ones = summed.new_ones(groups, 1, *weight.shape[2:])
    reached = aten.convolution(summed, ones, None, stride, padding, dilation, transposed, output_padding, groups)
    return outputs_per_group * reached.sum().item()


class _Watch(TorchDispatchMode):
    """Tells of every operation that PyTorch's own counter has a formula for."""

    def __init__(self, tell: Callable) -> None:
        super().__init__()
        self.tell = tell

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> object:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.tell(func.overloadpacket, args, out)
        return out


class ActivityCounter:
    """Counts operations and spikes of a network's forward passes inside a ``with`` block.

    It sees what PyTorch computes, whatever the modules are, but for neurons themselves, which cost nothing: a parallel
    neuron's product over time is one where it runs eagerly, and none where it is compiled. Integers of neurons are
    unfolded into binary spikes while it counts, see :func:`bkdsnn.models.spike_driven`.

    Args:
        model: Network whose first argument, or ``inputs``, is a batch (B, ...); 4-d batches are static images.

    Attributes:
        operations: By name of the layer, as in :class:`bkdsnn.evaluation.LayerCost`.
        firing: By path of the neurons.
        samples: How many were seen.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.operations: Dict[str, Operation] = {}
        self.firing: Dict[str, Firing] = {}
        self.samples = 0
        self._handles: list = []
        self._path: List[str] = ['']
        self._running = ExitStack()

    def attach(self) -> None:
        """Count from now on.

        Raises:
            ValueError: If the network's integers cannot be unfolded.
        """
        self._unfolds = has_integers(self.model) and not is_spike_driven(self.model)
        if self._unfolds:
            set_spike_driven(self.model, True)
        self._neurons = {path for path, module in self.model.named_modules() if isinstance(module, SpikingNode)}
        self._handles = [self.model.register_forward_pre_hook(self._start, with_kwargs=True),
                         self.model.register_forward_hook(self._stop, always_call=True)]
        for path, module in self.model.named_modules():
            if path:
                self._handles += [module.register_forward_pre_hook(lambda *_, path=path: self._path.append(path)),
                                  module.register_forward_hook(self._leave)]
            if path in self._neurons:
                self._handles.append(module.register_forward_hook(partial(self._count_spikes, path)))

    def detach(self) -> None:
        """Leave the network as it was."""
        for handle in self._handles:
            handle.remove()
        if self._unfolds:
            set_spike_driven(self.model, False)

    def __enter__(self) -> 'ActivityCounter':
        self.attach()
        return self

    def __exit__(self, *_) -> None:
        self.detach()

    def take_operations(self) -> Dict[str, Operation]:
        """Operations since the last call."""
        taken, self.operations = self.operations, {}
        return taken

    def _start(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        inputs = args[0] if args else kwargs['inputs']
        inputs = inputs['student'] if isinstance(inputs, dict) else inputs
        self.samples += len(inputs)
        self._image = _storage(inputs) if inputs.dim() == 4 else None
        self._owners = {_storage(weight): path for path, part in module.named_modules()
                        for weight in part.parameters(recurse=False)}
        self._path = ['']
        self._products: Dict[str, int] = {}
        # Fused attention would hide its products.
        self._running.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        self._running.enter_context(sdpa_kernel(SDPBackend.MATH))
        self._running.enter_context(_Watch(self._count))

    def _stop(self, *_) -> None:
        self._running.close()

    def _leave(self, *_) -> None:
        self._path.pop()

    def _count_spikes(self, path: str, module: nn.Module, args: tuple, out: Tensor) -> None:
        found = Firing((out != 0).sum((0, 1)), out.shape[0] * out.shape[1], out.shape[0])
        known = self.firing.get(path)
        if known is not None and known.spikes.shape != found.spikes.shape:
            raise ValueError(f'the neurons {path!r} have shape {tuple(found.spikes.shape)} and had '
                             f'{tuple(known.spikes.shape)} before, so they are not the same ones. Give all samples one '
                             'size in the data pipeline.')
        merge(self.firing, {path: found})

    def _count(self, operation: Callable, args: tuple, out: Tensor) -> None:
        if not self._neurons.isdisjoint(self._path):
            return
        macs = flop_registry[operation](*args, out_val=out) // 2
        name, kind, operands = self._identify(operation, [args[i] for i in OPERANDS.get(operation, ())])
        values = tuple(Values.of(x) for x in operands)
        exact = None
        if kind == 'conv' and values[0].whole:
            exact = fan_out_sum(args[0], args[1], *args[3:9])
        reads_image = any(_storage(x) == self._image for x in operands)
        merge(self.operations, {name: Operation(kind, macs, values, exact, reads_image)})

    def _identify(self, operation: Callable, operands: List[Tensor]) -> Tuple[str, str, List[Tensor]]:
        """Name and kind of a layer, and its operands without weights."""
        owners = [self._owners.get(_storage(x)) for x in operands]
        path = self._path[-1]
        if operation is aten.convolution:
            return path if owners[1] is None else owners[1], 'conv', operands[:1]
        if any(owner is not None for owner in owners):
            name = next(owner for owner in owners if owner is not None)
            return name, 'linear', [x for x, owner in zip(operands, owners) if owner is None]
        self._products[path] = self._products.get(path, 0) + 1
        return f'{path}:product{self._products[path]}', 'product', operands


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()
