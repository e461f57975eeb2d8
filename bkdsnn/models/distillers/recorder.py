"""Recording what named modules put out during a forward pass."""
import difflib
from functools import partial
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

INPUT_SUFFIX = ':input'


class FeatureRecorder:
    """Records the outputs (or inputs) of modules, named by path, inside a ``with`` block.

    Args:
        model: Network to listen to.
        paths: Module paths such as ``'backbone.layer4'``; the suffix ``:input`` records the module's input instead.
        owner: What to call the network in errors, such as ``'student'``.

    Raises:
        ValueError: If a path does not exist; the message lists paths that do.

    Inside the block :attr:`features` maps each path to its tensor (of a tuple, the last). A module that runs several
    times, as in a loop over time, gives its calls stacked on a new first axis. The handles are removed on leaving.
    """

    def __init__(self, model: nn.Module, paths: Iterable[str], owner: str = 'model') -> None:
        modules = dict(model.named_modules())
        self.paths: List[str] = list(dict.fromkeys(paths))
        for path in self.paths:
            name = path.removesuffix(INPUT_SUFFIX)
            if name not in modules or not name:
                raise ValueError(f'{owner} has no module {name!r} to record. {_known_paths(name, list(modules))}')
        self._modules = {path: modules[path.removesuffix(INPUT_SUFFIX)] for path in self.paths}
        self._calls: Dict[str, List[Tuple[Tensor, Optional[int]]]] = {}
        self._handles: list = []

    def _record(self, path: str, module: nn.Module, inputs: tuple, output) -> None:
        value = inputs if path.endswith(INPUT_SUFFIX) else output
        while isinstance(value, (tuple, list)) and value:
            value = value[-1]
        if not isinstance(value, Tensor):
            raise TypeError(f'the module at {path!r} gives a {type(value).__name__}, not a tensor; record another one.')
        # Inside torch.compile there are no versions; the distiller's dry run, which is not compiled, has compared them.
        version = None if torch.compiler.is_compiling() else value._version
        self._calls.setdefault(path, []).append((value, version))

    def __enter__(self) -> 'FeatureRecorder':
        self._calls = {}
        self._handles = [module.register_forward_hook(partial(self._record, path))
                         for path, module in self._modules.items()]
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
        for path, calls in self._calls.items():
            if any(version is not None and value._version != version for value, version in calls):
                raise RuntimeError(f'what the module at {path!r} put out was changed in place by the module after it '
                                   '(an inplace ReLU?). Record that one instead.')
        return {path: calls[0][0] if len(calls) == 1 else torch.stack([value for value, _ in calls])
                for path, calls in self._calls.items()}

    def clear(self) -> None:
        """Drop what was recorded, so that the memory is free before the backward pass ends."""
        self._calls = {}


def _known_paths(name: str, paths: Sequence[str], limit: int = 12) -> str:
    close = difflib.get_close_matches(name, [p for p in paths if p], n=3)
    # Short paths first: stages say more than the convolutions inside them.
    some = sorted((p for p in paths if p), key=lambda p: p.count('.'))[:limit]
    return (f'Did you mean {", ".join(map(repr, close))}? ' if close else '') + f'It has {", ".join(some)}, ...'
