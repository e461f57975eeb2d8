"""The dicts of a config, and what takes their entries: a registered component, or a function that is called."""
import itertools
import re
from functools import cache
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import Registry

from bkdsnn.utils.names import near_miss, suggestion

from .arguments import ANYTHING, Arguments, arguments_of
from .places import PLACES, ROOTS, Choice, Place

# Modules of components that are no one's own.
LIBRARIES = ('bkdsnn.', 'mmengine.', 'mmcv.', 'mmpretrain.')
CUSTOM_KEYS = 'optim_wrapper.paramwise_cfg.custom_keys.'


class Part(NamedTuple):
    """A dict of a config of which it is known what takes its entries.

    Attributes:
        path: Its key, joined by dots, with the numbers of list entries in brackets.
        node: The dict.
        found: The class or function; ``None`` where keys are read one by one.
        arguments: What may be in the dict.
        place: What is known of its place.
    """

    path: str
    node: dict
    found: Optional[Callable]
    arguments: Arguments
    place: Place

    def at(self, key: str) -> str:
        """The whole key of one of its entries."""
        return f'{self.path}.{key}' if self.path else key

    @property
    def name(self) -> str:
        """What takes the entries, for errors."""
        if not self.path:
            return 'the runner'
        return self.path if self.found is None else getattr(self.found, '__name__', str(self.found))


def parts_of(cfg: Config, roots: Sequence[str] = ROOTS) -> Iterator[Part]:
    """The dicts of a config of which it is known what takes their entries, from the top down.

    Args:
        cfg: A config.
        roots: At which keys at its top to look.

    Raises:
        ValueError: If a ``type`` is missing or not registered; the message names the key and the nearest right name.
    """
    yield _part({key: cfg[key] for key in cfg}, '', PLACES[''].default, PLACES[''])
    for key in roots:
        yield from _walk(cfg, cfg.get(key), key, (key, ), None, cfg.get('default_scope') or 'bkdsnn')


def without_numbers(path: str) -> str:
    """A key without the numbers of list entries, as tables have it."""
    return re.sub(r'\[\d+\]', '', path)


def _walk(cfg: Config, node: Any, path: str, names: Tuple[str, ...], registry: Optional[Registry], scope: str
          ) -> Iterator[Part]:
    """Parts at and below a node; ``names`` are those by which its place may be known."""
    if isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _walk(cfg, value, f'{path}[{i}]', names, registry, scope)
    if not isinstance(node, dict):
        return
    scope = node.get('_scope_') or scope
    place = _place(names)
    registry = registry if place.registry is None else place.registry
    part = _resolve(cfg, node, path, place, registry, scope)
    if part is not None:
        yield part
    for key, value in node.items():
        if key not in ('type', '_scope_'):
            below = [f'{names[0]}.{key}', *([f'{part.name}.{key}'] if part and part.found else [])]
            yield from _walk(cfg, value, f'{path}.{key}', tuple(below), registry, scope)


@cache
def _place(names: Tuple[str, ...]) -> Place:
    return next((place for pattern, place in PLACES.items() if any(matches(name, pattern) for name in names)), Place())


def matches(key: str, pattern: str) -> bool:
    """Whether a key is one that a table's pattern is about."""
    return _expression(pattern).fullmatch(key) is not None


@cache
def _expression(pattern: str) -> re.Pattern:
    return re.compile(re.escape(pattern).replace(r'\*\*', '.*').replace(r'\*', '[^.]*'))


def _resolve(cfg: Config, node: dict, path: str, place: Place, registry: Optional[Registry], scope: str
             ) -> Optional[Part]:
    """What takes the entries of a dict; ``None`` where nothing says so."""
    if registry is not None and node.get('type') is not None and path != 'optim_wrapper.clip_grad':
        return _part(node, path, find(node['type'], f'{path}.type', registry, scope), place)
    default = place.default.choose(node) if isinstance(place.default, Choice) else place.default
    if default is not None:
        return _part(node, path, default, place)
    if path.startswith('optim_wrapper') and cfg.optim_wrapper.get('constructor') is not None:
        return None  # which reads what it likes
    if path.startswith(CUSTOM_KEYS):
        optimizer = cfg.optim_wrapper.get('optimizer') or {}
        found = find(optimizer.get('type'), 'optim_wrapper.optimizer.type', PLACES['optim_wrapper.optimizer'].registry,
                      scope)
        return Part(path, node, None, _with_more(arguments_of(found), place), place)
    if place.takes_others or place.more and place.registry is None:
        return Part(path, node, None, _with_more(Arguments({}, False), place), place)
    _check_type(node, path, place)
    return None


def _part(node: dict, path: str, found: Callable, place: Place) -> Part:
    return Part(path, node, found, _with_more(arguments_of(found), place), place)


def _with_more(arguments: Arguments, place: Place) -> Arguments:
    named = {name: argument for name, argument in arguments.named.items() if name not in place.given}
    return Arguments({**named, **{name: ANYTHING for name in place.more if name not in named}},
                     arguments.takes_others or place.takes_others)


def find(name: Any, path: str, registry: Registry, scope: str) -> Callable:
    """What is registered under a name."""
    if callable(name):
        return name
    if not isinstance(name, str):
        raise ValueError(f'{path}={name!r} must be the name of a component, as text.')
    registry = _scoped(registry, scope)
    found = registry.get(name)
    if found is None:
        above, known = registry, []
        while above is not None:
            known, above = known + [sorted(above.module_dict)], above.parent
        own = next(filter(None, known), [])
        raise ValueError(f'{path}={name!r} is not registered.{suggestion(name, itertools.chain(*known))} Known: '
                         f'{", ".join(own)}; components of other libraries carry their prefix, as in '
                         "'mmpretrain.ResNet'; your own need their module in custom_imports.")
    return found


@cache
def _scoped(registry: Registry, scope: str) -> Registry:
    """As build() does: the scope decides where to look first."""
    if registry.parent is None and not registry.children:
        return registry  # mmengine's functions, which have no scopes
    with registry.switch_scope_and_registry(scope) as scoped:
        return scoped


def _check_type(node: dict, path: str, place: Place) -> None:
    """Raise ValueError where a dict should say what it is, and does not."""
    slip = next((key for key in node if near_miss(str(key), ['type'])), None)
    if slip is not None:
        raise ValueError(f"{path}.{slip} says nothing. Did you mean 'type'?")
    if place.registry is not None and not all(isinstance(value, (dict, list, tuple)) for value in node.values()):
        raise ValueError(f'{path}.type is missing: the name of what {path} is.')
