"""The config inside a published file: JSON, of which only what a registry knows by name is built.

A config of one's own is a program and may name whatever can be imported. This one comes with a file from anywhere, so
each ``type`` in it must be the registered name of a part that neither loads files nor runs what its arguments say.
"""
import importlib.util
import inspect
import json
import re
import sys
from typing import Any, Callable, Optional, Sequence

from mmengine.config import Config
from mmengine.registry import FUNCTIONS, Registry

from bkdsnn import registry as ours

# What is used: the network, its inputs, and the shape of a sample.
ROOTS = dict(model=ours.MODELS, data_preprocessor=ours.MODELS, val_dataloader=None, test_dataloader=None)
VALUES = ('default_scope', 'image_shape', 'views_shape')
# Of it, where weights would come from and samples be kept on the publisher's machine; the file has all weights.
LEFT_OUT = ('init_cfg', 'pretrained', 'checkpoint_path', 'pretrained_cfg', 'pretrained_cfg_overlay', 'cache_dir')
# Keys below which another registry applies.
KINDS = dict(dataset=ours.DATASETS, datasets=ours.DATASETS, pipeline=ours.TRANSFORMS, surrogate=ours.SURROGATES,
             augments=ours.BATCH_AUGMENTS, sampler=ours.DATA_SAMPLERS, batch_sampler=ours.DATA_SAMPLERS,
             collate_fn=FUNCTIONS, worker_init_fn=FUNCTIONS)
SCOPES = ('bkdsnn', 'mmengine', 'mmpretrain')
# What imports or executes where a config is a program.
PROGRAMS = ('_base_', 'custom_imports')
# File backends other than the local one import what their arguments say.
BACKENDS = ('backend_args', 'file_client_args')
LOCAL = (None, {}, dict(backend='local'))
# The libraries' modules whose parts are made of arrays and of each other; and of these, those that load what they are
# told to.
LIBRARIES = ('bkdsnn', 'mmcv', 'mmengine', 'mmpretrain', 'torch', 'torchvision')
OPEN = ('bkdsnn.models.', 'bkdsnn.datasets.', 'torch.nn.', 'mmcv.cnn.bricks.', 'mmcv.transforms.', 'mmengine.dataset.',
        'mmengine.model.base_model.', 'mmengine.utils.dl_utils.parrots_wrapper', 'mmpretrain.models.backbones.',
        'mmpretrain.models.necks.', 'mmpretrain.models.heads.', 'mmpretrain.models.losses.',
        'mmpretrain.models.classifiers.image', 'mmpretrain.models.classifiers.timm',
        'mmpretrain.models.utils.attention', 'mmpretrain.models.utils.batch_augments.',
        'mmpretrain.models.utils.data_preprocessor', 'mmpretrain.models.utils.norm', 'mmpretrain.datasets.transforms.',
        'mmpretrain.datasets.custom', 'mmpretrain.datasets.imagenet')
CLOSED = ('bkdsnn.models.teachers.', 'bkdsnn.models.distillers.', 'mmpretrain.models.backbones.timm_backbone',
          'mmpretrain.models.heads.vqa_head')


def read_config(text: str, file: str) -> Config:
    """The config of a published file, as far as it describes the network and its inputs; the rest is left out.

    Args:
        text: JSON.
        file: Its name, for errors.

    Raises:
        ValueError: If it is no JSON, or something in it is not built from a file; the message names the key.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get('model'), dict):
            raise ValueError('it has no model')
        kept = {key: _without(found[key], LEFT_OUT) for key in (*ROOTS, *VALUES) if found.get(key) is not None}
        if 'student' in kept['model']:  # the teacher is no part of the network, and would be loaded
            kept['model'] = {key: kept['model'].get(key) for key in ('student', 'data_preprocessor')}
        _check_no_program(found, 'it')
        scope = _known_scope(kept, 'default_scope', 'default_scope', 'bkdsnn')
        for key, registry in ROOTS.items():
            _check(kept.get(key), key, registry, scope)
        return Config(kept)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f'the config inside {file!r} is not built: {error}. If you trust the file, give a config of '
                         'your own as the first argument, with the file as the second.') from error


def _without(node: Any, keys: Sequence[str]) -> Any:
    if isinstance(node, dict):
        return {key: _without(value, keys) for key, value in node.items() if key not in keys}
    return [_without(value, keys) for value in node] if isinstance(node, list) else node


def _check(node: Any, path: str, registry: Optional[Registry], scope: str) -> None:
    """Check all components below a key; ``registry`` is where they are looked up, ``None`` where there can be none."""
    if isinstance(node, dict):
        _check_no_program(node, path)
        scope = _known_scope(node, '_scope_', f'{path}._scope_', scope)
        if 'type' in node:
            _check_component(node['type'], f'{path}.type', registry, scope)
        for key, value in node.items():
            if key not in ('type', '_scope_'):
                _check(value, f'{path}.{key}', KINDS.get(key, registry), scope)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            _check(value, f'{path}[{i}]', registry, scope)
    elif isinstance(node, str) and registry not in (None, ours.DATASETS):
        _check_text(node, path)


def _known_scope(node: dict, key: str, path: str, default: str) -> str:
    scope = node.get(key, default)
    if scope not in SCOPES:
        raise ValueError(f'{path}={scope!r} is none of the scopes {", ".join(SCOPES)}')
    return scope


def _check_text(text: str, path: str) -> None:
    """Refuse what a registry would import, since some parts look their arguments up, such as ``padding_mode``."""
    if re.match(r'(hf.hub|local.dir):', text):
        raise ValueError(f'{path}={text!r} is a network of elsewhere')
    module, dot, _ = text.partition('.')
    is_imported = module in sys.modules
    try:
        spec = None if is_imported else importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return
    # A folder without an __init__ runs nothing, but what is in it would.
    if (dot and (is_imported or spec)) or (spec and spec.origin):
        raise ValueError(f'{path}={text!r} names something that can be imported here, in the module {module}')


def _check_no_program(node: dict, path: str) -> None:
    for key in PROGRAMS:
        if key in node:
            raise ValueError(f'{path} has {key}, which names files or modules to run')
    for key in BACKENDS:
        if node.get(key) not in LOCAL:
            raise ValueError(f'{path}.{key} is {node[key]!r}, and only local files are read')


def _check_component(name: Any, path: str, registry: Optional[Registry], scope: str) -> None:
    found = _registered(name, registry, scope) if isinstance(name, str) and registry is not None else None
    if found is None:
        raise ValueError(f'{path}={name!r} is not the name of a registered component; one of your own must be imported '
                         'before')
    if not _is_open(found):
        raise ValueError(f'{path}={name!r} may load whatever its arguments name')


def _registered(name: str, registry: Registry, scope: str) -> Optional[Callable]:
    """What ``registry.build`` finds; unlike it, this imports nothing that the name says."""
    prefix, _, name = name.rpartition('.')
    root = registry
    while root.parent is not None:
        root = root.parent
    place = root.children.get(prefix or scope, None if prefix else registry)
    place = root if (prefix or scope) == root.scope else place
    while place is not None:
        place.import_from_location()
        if name in place.module_dict:
            return place.module_dict[name]
        place = place.parent
    return None


def _is_open(found: Callable) -> bool:
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return False
    # Others than the libraries have registered it because the user imported them.
    return found.__module__.split('.')[0] not in LIBRARIES or (
        found.__module__.startswith(OPEN) and not found.__module__.startswith(CLOSED))
