"""Recording what named modules put out during a forward pass."""
import difflib
from functools import partial
from itertools import groupby
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..layers import has_time_axis, mark_time
from ..layers.recompute import current_chunk

SUFFIXES = ('input', 'last', 'calls')


class FeatureRecorder:
    """Records the outputs (or inputs) of modules, named by path, inside a ``with`` block.

    Args:
        model: Network to listen to. Modules are looked up when the block is entered, also in parts that are wrapped for
            DDP or by ``torch.compile``.
        paths: Module paths such as ``'backbone.layer4'``; the suffix ``:input`` records the module's input instead. A
            module that runs several times needs one more: ``:last`` takes the last call, as of a ReLU that a block
            applies twice; ``:calls`` stacks all on a new first axis, which is time where a network is a loop over it.
        owner: What to call the network in errors, such as ``'the student'``.
        needs_grad: Whether a loss on what is recorded must reach the network.

    Raises:
        ValueError: If a path does not exist; the message lists paths that do. Or if its suffix is unknown.

    Inside the block :attr:`features` maps each path to its tensor (of a tuple, the last), marked with whether its first
    axis is time, see :func:`bkdsnn.models.layers.time_mean`. The handles are removed on leaving.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str], owner: str = 'model', needs_grad: bool = False) -> None:
        self.model, self.owner, self.needs_grad = model, owner, needs_grad
        self._places = {path: Place.of(path, owner) for path in paths}
        self.paths: List[str] = list(self._places)
        self._modules()
        self._calls: Dict[str, List[Call]] = {}
        self._handles: list = []

    def _modules(self) -> Dict[str, nn.Module]:
        modules = {}
        for path, (name, _, _) in self._places.items():
            modules[path] = find_module(self.model, name)
            if modules[path] is None:
                known = [known for known, _ in unwrapped(self.model).named_modules()]
                raise ValueError(f'{self.owner} has no module {name!r} to record. {_known_paths(name, known)}')
        return modules

    def _record(self, path: str, module: nn.Module, inputs: tuple, output) -> None:
        if self.needs_grad and self._enabled_grad and not torch.is_grad_enabled():
            raise RuntimeError(
                f'the module at {path!r} runs without gradients, as inside torch.utils.checkpoint with use_reentrant='
                'True, so that no loss on it would reach the network. Set use_reentrant=False, or record a module '
                'around the checkpoint.')
        value = inputs if self._places[path].is_input else output
        while isinstance(value, (tuple, list)) and value:
            value = value[-1]
        if not isinstance(value, Tensor):
            raise TypeError(f'the module at {path!r} gives a {type(value).__name__}, not a tensor; record another one.')
        # Inside torch.compile there are no versions; the distiller's dry run, which is not compiled, has compared them.
        version = None if torch.compiler.is_compiling() else value._version
        self._calls.setdefault(path, []).append(Call(value, version, current_chunk()))

    def __enter__(self) -> 'FeatureRecorder':
        self._calls, self._enabled_grad = {}, torch.is_grad_enabled()
        self._handles = [module.register_forward_hook(partial(self._record, path))
                         for path, module in self._modules().items()]
        return self

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def features(self) -> Dict[str, Tensor]:
        """What was recorded, by path."""
        silent = [path for path in self.paths if path not in self._calls]
        if silent:
            raise RuntimeError(f'the module at {silent[0]!r} did not run, so nothing was recorded. Record one that the '
                               'forward pass uses.')
        return {path: self._feature(path, calls, self._has_time(path)) for path, calls in self._calls.items()}

    def _has_time(self, path: str) -> bool:
        """Whether the features of a module have time: as the innermost network around it that says so."""
        names = self._places[path].name.split('.')
        around = [find_module(self.model, '.'.join(names[:end])) for end in range(len(names), 0, -1)]
        said = [module.has_time for module in map(unwrapped, around) if hasattr(module, 'has_time')]
        return said[0] if said else has_time_axis(unwrapped(self.model))

    def _feature(self, path: str, calls: List['Call'], has_time: bool) -> Tensor:
        """What a module gave, over all chunks of time steps."""
        chunks = [self._of_chunk(path, list(part), has_time) for _, part in groupby(calls, lambda call: call.chunk)]
        return chunks[0] if len(chunks) == 1 else mark_time(torch.cat(chunks), has_time)

    def _of_chunk(self, path: str, calls: List['Call'], has_time: bool) -> Tensor:
        which = self._places[path].calls
        if len(calls) > 1 and which is None:
            raise ValueError(
                f"{self.owner}: the module at {path!r} runs {len(calls)} times in a forward pass. Name '{path}:last' "
                f"for its last call, as of a ReLU that a block applies twice, or '{path}:calls' for all of them on a "
                'new first axis, which is time in a network that is a loop over time steps.')
        if which == 'last':
            calls = calls[-1:]
        if any(call.version is not None and call.value._version != call.version for call in calls):
            raise RuntimeError(f'what the module at {path!r} put out was changed in place by the module after it '
                               '(an inplace ReLU?). Record that one instead.')
        if which == 'calls':
            return mark_time(torch.stack([call.value for call in calls]), True)
        return mark_time(calls[0].value, has_time)

    def clear(self) -> None:
        """Drop what was recorded."""
        self._calls = {}


class Call(NamedTuple):
    """One call of a module.

    Attributes:
        value: What it gave or was given.
        version: How often that had been changed in place.
        chunk: The chunk of time steps that ran, see :class:`bkdsnn.models.TimeChunks`.
    """

    value: Tensor
    version: Optional[int]
    chunk: Optional[int]


class Place(NamedTuple):
    """What a path with suffixes names.

    Attributes:
        name: Path of the module.
        is_input: Whether its input is meant, and not its output.
        calls: Which of several calls: ``'last'``, all ``'calls'``, or ``None`` of the only one.
    """

    name: str
    is_input: bool
    calls: Optional[str]

    @classmethod
    def of(cls, path: str, owner: str) -> 'Place':
        """Of a path such as ``'head:input'``.

        Raises:
            ValueError: If a suffix is unknown or contradicts another one.
        """
        name, *suffixes = path.split(':')
        calls = [suffix for suffix in suffixes if suffix != 'input']
        if len(calls) > 1 or not set(suffixes) <= set(SUFFIXES):
            raise ValueError(f"{owner}: the path {path!r} may end in ':input', and in ':last' or ':calls'.")
        return cls(name, 'input' in suffixes, calls[0] if calls else None)


def unwrapped(module: nn.Module) -> nn.Module:
    """A module without what DDP or ``torch.compile`` puts around it."""
    while True:
        if '_orig_mod' in module._modules:
            module = module._orig_mod
        elif 'module' in module._modules and is_model_wrapper(module):
            module = module.module
        else:
            return module


def find_module(model: nn.Module, path: str) -> Optional[nn.Module]:
    """The module at a path below a network, also where parts of it are wrapped; ``None`` if there is none."""
    for name in path.split('.'):
        model = unwrapped(model)._modules.get(name)
        if model is None:
            return None
    return model


def _known_paths(name: str, paths: Sequence[str], limit: int = 12) -> str:
    close = difflib.get_close_matches(name, [p for p in paths if p], n=3)
    # Short paths first: stages say more than the convolutions inside them.
    some = sorted((p for p in paths if p), key=lambda p: p.count('.'))[:limit]
    return (f'Did you mean {", ".join(map(repr, close))}? ' if close else '') + f'It has {", ".join(some)}, ...'
