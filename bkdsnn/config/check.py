"""Checks of a config before anything is built: unknown components and misspelled arguments, by config key."""
import difflib
import inspect
from typing import Any, Optional, Set

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner

from bkdsnn import registry

# Which registry a top-level key's components come from, and the keys that build_from_cfg does not pass on.
ROOTS = dict(
    model=registry.MODELS, train_dataloader=registry.DATASETS, val_dataloader=registry.DATASETS,
    test_dataloader=registry.DATASETS, custom_hooks=registry.HOOKS, default_hooks=registry.HOOKS)
# Keys below which another registry applies.
CHANGES = dict(pipeline=registry.TRANSFORMS, surrogate=registry.SURROGATES)
# Components that are looked up elsewhere, by their parent.
SKIPPED = {'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'init_cfg', 'augments', 'train_cfg'}


def check_config(cfg: Config) -> None:
    """Check every ``dict(type=...)`` of models, data sets, transforms and hooks.

    Raises:
        ValueError: For the first component that is not registered, or does not take an argument. The message names the
            config key and the nearest right name.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'bkdsnn')):
        for key, root in ROOTS.items():
            _check_tree(cfg.get(key), key, root)


def check_options(options: dict, cfg: Config) -> None:
    """Check that command-line options change keys that the config or mmengine's runner has.

    Raises:
        ValueError: For the first key that neither has; a misspelled one would be ignored silently.
    """
    known = {*cfg, *inspect.signature(Runner.__init__).parameters, 'sync_bn', 'find_unused_parameters', 'compile'}
    for key in options:
        name = key.split('.')[0]
        if name not in known:
            raise ValueError(f'--cfg-options {key}: there is no {name!r} in the config.{_suggest(name, known)}')


def _check_tree(node: Any, path: str, components: Registry) -> None:
    if isinstance(node, dict):
        if node.get('_scope_'):
            with DefaultScope.overwrite_default_scope(node['_scope_']):
                return _check_tree({k: v for k, v in node.items() if k != '_scope_'}, path, components)
        if isinstance(node.get('type'), str):
            _check(path, node, components)
        for key, value in node.items():
            if key not in SKIPPED:
                _check_tree(value, f'{path}.{key}', CHANGES.get(key, components))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            _check_tree(value, f'{path}[{i}]', components)


def _check(path: str, component: dict, components: Registry) -> None:
    name = component['type']
    # As build() does: the default scope decides where to look first.
    with components.switch_scope_and_registry(None) as components:
        found = components.get(name)
    if found is None:
        known = list(components.module_dict)
        raise ValueError(f'{path}.type={name!r} is not registered.{_suggest(name, known)} Known: '
                         f'{", ".join(sorted(known))}; components of other libraries carry their prefix, as in '
                         "'mmpretrain.ResNet'; your own need their module in custom_imports.")
    if not inspect.isclass(found):
        return
    accepted = _arguments(found)
    if accepted is None:
        return
    for key in component:
        if key not in accepted and key not in ('type', 'priority'):
            raise ValueError(f'{path}.{key} is not an argument of {found.__name__}.{_suggest(key, accepted)} It takes: '
                             f'{", ".join(sorted(accepted))}.')


def _arguments(cls: type) -> Optional[Set[str]]:
    """Names that ``cls(...)`` takes, following ``**kwargs`` up the bases; ``None`` where they cannot be told."""
    names: Set[str] = set()
    for base in cls.__mro__:
        if '__init__' not in base.__dict__:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return None  # wrappers such as TimmClassifier(*args, **kwargs) hand them to something else
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
    return None


def _suggest(name: str, known) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean {close[0]!r}?' if close else ''
