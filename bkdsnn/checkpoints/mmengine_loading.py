"""Every checkpoint that mmengine reads, by this package's reader.

mmengine's own allows ``getattr``, reads a file that it cannot read safely once more with whatever it holds, and its
runner executes ``meta.config`` as Python when it resumes. Importing this module replaces it, for ``load_from``,
``resume``, ``init_cfg=dict(type='Pretrained')`` and the weights of mmpretrain's zoo.
"""
from typing import Any

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import nn

from .files import load_file, resolve
from .weights import fitting, says, some_of, state_dict_in

# What gives the URL of each name.
ZOOS = {'torchvision': get_torchvision_models, 'modelzoo': get_torchvision_models, 'open-mmlab': get_external_models,
        'openmmlab': get_external_models, 'mmcls': get_mmcls_models}
STORES = ['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://']


def load_from_path(filename: str, map_location: Any = None) -> dict:
    """A file, URL or work directory, see :func:`load_file`, without the config that mmengine would execute."""
    checkpoint = load_file(resolve(filename), map_location)
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


@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class FittingPretrainedInit(PretrainedInit):
    """As mmengine's, which leaves out what does not fit; but that is said in one line, and some of it has to fit.

    Raises:
        ValueError: If no weight of the file fits the module, or one that does is not finite.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights, those below ``prefix`` if there is one, into the module."""
        weights, prefix = state_dict_in(CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)), ''
        if self.prefix:
            prefix = self.prefix.rstrip('.') + '.'
            weights = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        own = module.state_dict()
        label = f'init_cfg: checkpoint {self.checkpoint!r}' + (f', prefix {self.prefix!r},' if prefix else '')
        found = fitting(own, weights, label)
        if not found:
            raise ValueError(f'{label} has no weights that fit the {type(module).__name__}, such as '
                             f'{some_of(list(own))}; it has {some_of(list(weights)) or "none"}.')
        module.load_state_dict({**own, **found})
        lines = says(these_start_anew=own.keys() - found.keys(), these_are_left_out=weights.keys() - found.keys())
        print_log('; '.join([f'{label} is loaded into the {type(module).__name__}', *lines]) + '.', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
