"""Which storages live when in a run on fake tensors, which have shapes and no values: nothing is computed."""
import weakref
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Set, Tuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def _copies_of_convolution(y: Tensor, x: Tensor, weight: Tensor, *_) -> int:
    """Bytes of the copies that oneDNN makes in its own layout; of channels-last maps, only the weights are copied."""
    return weight.nbytes + (0 if _is_channels_last(x) else max(x.nbytes, y.nbytes))


def _copies_of_convolution_backward(grads: tuple, grad: Tensor, x: Tensor, weight: Tensor, *_) -> int:
    return weight.nbytes + (weight.nbytes if _is_channels_last(x) else x.nbytes + grad.nbytes)


def _is_channels_last(x: Tensor) -> bool:
    return x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)


# What operations allocate inside and free again. It was measured with oneDNN, on a CPU.
COPIES = {torch.ops.aten.convolution.default: _copies_of_convolution,
          torch.ops.aten.convolution_backward.default: _copies_of_convolution_backward}


@dataclass
class StorageLog:
    """What was allocated and freed, in order.

    Attributes:
        sizes: Bytes of each storage.
        makers: Path of the module that made each storage; ``''`` outside of all.
        events: Storages as they come; ``~storage`` where one goes.
    """

    sizes: List[int] = field(default_factory=list)
    makers: List[str] = field(default_factory=list)
    events: List[int] = field(default_factory=list)

    def live_after(self, events: int) -> Set[int]:
        """Storages that live after the first ``events`` events."""
        live: Set[int] = set()
        for event in self.events[:events]:
            live.remove(~event) if event < 0 else live.add(event)
        return live

    def peak_after(self, start: int) -> Tuple[int, int]:
        """The largest sum of live bytes from the first ``start`` events on, and after how many events it is reached."""
        now, peak = 0, (-1, start)
        for number, event in enumerate(self.events, 1):
            now += -self.sizes[~event] if event < 0 else self.sizes[event]
            if number >= start and now > peak[0]:
                peak = (now, number)
        return peak


class LiveStorages(TorchDispatchMode):
    """Makes tensors fake inside the block, and logs their storages.

    Where Python asks for a value, as ``item()`` does, it gets one.

    Args:
        networks: By the name that their modules' paths start with in the log. Their parameters and buffers are fake
            inside the block.
    """

    def __init__(self, networks: Dict[str, nn.Module]) -> None:
        super().__init__()
        self.log = StorageLog()
        self._networks = networks
        self._paths = {id(module): '.'.join(filter(None, (root, name)))
                       for root, network in networks.items() for name, module in network.named_modules()}
        self._numbers: Dict[int, int] = {}  # by address, of living storages
        self._running: List[str] = ['']
        self._contexts = ExitStack()

    def __enter__(self) -> 'LiveStorages':
        # Hooks of all modules and none of their own: those would keep a norm out of its neuron's pass.
        for hook in (register_module_forward_pre_hook(self._enter_module),
                     register_module_forward_hook(self._leave_module, always_call=True)):
            self._contexts.callback(hook.remove)
        # Some networks keep tensors that are no buffers.
        self._contexts.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        super().__enter__()
        for network in self._networks.values():
            self._contexts.enter_context(_fake_weights(network))
        return self

    def __exit__(self, *args) -> None:
        super().__exit__(*args)
        self._contexts.close()

    def _enter_module(self, module: nn.Module, inputs: tuple) -> None:
        self._running.append(self._paths.get(id(module), self._running[-1]))

    def _leave_module(self, *_) -> None:
        self._running.pop()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0 if args[0].is_floating_point() else 1
        result = func(*args, **(kwargs or {}))
        self.numbers_of(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        if func in COPIES:
            number = self._add(COPIES[func](result, *args))
            self.log.events.append(~number)
        return result

    def numbers_of(self, tensors: Iterable[Tensor]) -> Set[int]:
        """Numbers of the tensors' storages in the log, where new ones are added."""
        return {self._number_of(tensor.untyped_storage()) for tensor in tensors}

    def _number_of(self, storage: torch.UntypedStorage) -> int:
        address = storage._cdata
        if address not in self._numbers:
            self._numbers[address] = self._add(storage.nbytes())
            weakref.finalize(storage, self._free, address).atexit = False
        return self._numbers[address]

    def _add(self, size: int) -> int:
        number = len(self.log.sizes)
        self.log.sizes.append(size)
        self.log.makers.append(self._running[-1])
        self.log.events.append(number)
        return number

    def _free(self, address: int) -> None:
        self.log.events.append(~self._numbers.pop(address))


@contextmanager
def _fake_weights(network: nn.Module):
    """Inside the block, and in an active fake mode, parameters and buffers have no values."""
    tables = [table for module in network.modules() for table in (module._parameters, module._buffers)]
    real = [dict(table) for table in tables]
    fakes: Dict[int, Tensor] = {}  # some are shared
    for table in tables:
        for name, tensor in table.items():
            if tensor is not None and id(tensor) not in fakes:
                fakes[id(tensor)] = _like(tensor)
            table[name] = fakes.get(id(tensor))
    try:
        yield
    finally:
        for table, before in zip(tables, real):
            table.update(before)


def _like(tensor: Tensor) -> Tensor:
    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
