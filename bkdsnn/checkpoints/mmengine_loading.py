"""Every checkpoint that mmengine reads, by this package's reader.

mmengine's own allows ``getattr``, reads a file that it cannot read safely once more with whatever it holds, and its
runner executes ``meta.config`` as Python when it resumes. Importing this module replaces it, for ``load_from``,
``resume``, ``init_cfg=dict(type='Pretrained')`` and the weights of mmpretrain's zoo.
"""
import os.path as osp
from typing import Any

from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from .files import load_file

# What gives the URL of each name.
ZOOS = {'torchvision': get_torchvision_models, 'modelzoo': get_torchvision_models, 'open-mmlab': get_external_models,
        'openmmlab': get_external_models, 'mmcls': get_mmcls_models}
STORES = ['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://']


def load_from_path(filename: str, map_location: Any = None) -> dict:
    """A file or URL, see :func:`load_file`; of its ``meta``, all but the config that mmengine would execute."""
    checkpoint = load_file(osp.expanduser(filename), map_location)
    if isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def load_from_zoo(filename: str, map_location: Any = None) -> dict:
    """``torchvision://NAME``, ``open-mmlab://NAME`` or ``mmcls://NAME``; of the last, the backbone's weights alone.

    Raises:
        ValueError: If the zoo has no such name.
    """
    zoo, _, name = filename.partition('://')
    urls = ZOOS[zoo]()
    name = name if name in urls else get_deprecated_model_names().get(name)
    if name not in urls:
        raise ValueError(f'checkpoint {filename!r}: mmengine knows no such name in {zoo}.')
    checkpoint = load_from_path(urls[name], map_location)
    if zoo != 'mmcls':
        return checkpoint
    weights = checkpoint.get('state_dict', checkpoint)
    return dict(state_dict={key.removeprefix('backbone.'): value for key, value in weights.items()
                            if key.startswith('backbone.')})


def load_from_store(filename: str, map_location: Any = None) -> dict:
    """Stores that nothing here reads.

    Raises:
        ValueError: In any case.
    """
    raise ValueError(f'checkpoint {filename!r}: only files and http(s) URLs are read; copy it and name the copy.')


CheckpointLoader.register_scheme(['', 'http://', 'https://'], load_from_path, force=True)
CheckpointLoader.register_scheme([f'{zoo}://' for zoo in ZOOS], load_from_zoo, force=True)
CheckpointLoader.register_scheme(STORES, load_from_store, force=True)
