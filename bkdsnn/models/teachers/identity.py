"""Which teacher a config means, told without building it."""
import hashlib
import importlib.metadata
import json
from typing import Any, Dict, Union

import torch
from mmengine.config import Config
from torch import nn

from bkdsnn.checkpoints.files import on_this_machine, resolve
from bkdsnn.config.files import read_config_file
from bkdsnn.config.networks import teachers_by_key

from .sources import LIBRARY_WEIGHTS, preprocessing_of

# What changes nothing of what it says.
NOT_SAID = ('checkpoint', 'expected_accuracy', 'emulate')


def identity_of(teacher: Union[dict, nn.Module]) -> Dict[str, Any]:
    """All that what a teacher says depends on besides its input, as plain data: weights, network, preprocessing.

    Weights are told by the SHA-256 of their file; those of a model zoo by the zoo's version, as it publishes a name's
    weights once; those of a module by what they are.

    Args:
        teacher: Config, or a module.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    if isinstance(teacher, nn.Module):
        return plain(dict(type=type(teacher).__name__, weights=_digest(teacher)))
    single = {key: dict({name: value for name, value in cfg.items() if name not in NOT_SAID}, **_network(cfg['model']),
                        weights=_weights(cfg)) for key, cfg in teachers_by_key(teacher).items()}
    return plain(single if 'teachers' in teacher else next(iter(single.values())))


def plain(value: Any) -> Any:
    """Settings as JSON gives them back."""
    value = value.to_dict() if isinstance(value, Config) else value
    return json.loads(json.dumps(value, default=lambda other: getattr(other, '__name__', str(other))))


def _network(model: Union[str, dict, nn.Module]) -> Dict[str, Any]:
    """What stands for a network."""
    if isinstance(model, nn.Module):
        return dict(model=type(model).__name__)
    if isinstance(model, str) and model.endswith('.py'):
        cfg = read_config_file(model)
        return dict(model=cfg.model, preprocessing=preprocessing_of(cfg))
    return dict(model=model)


def _weights(cfg: dict) -> str:
    model, checkpoint = cfg['model'], cfg.get('checkpoint')
    if checkpoint is None:
        return _digest(model) if isinstance(model, nn.Module) else 'none'
    if checkpoint == LIBRARY_WEIGHTS:
        library = str(model).partition('/')[0] if '/' in str(model) else 'mmpretrain'
        return f'{LIBRARY_WEIGHTS}, of {library} {_version(library)}'
    with open(on_this_machine(resolve(checkpoint)), 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else \
            hashlib.sha256(file.read()).hexdigest()


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:  # of another distribution
        return getattr(importlib.import_module(library), '__version__', '')


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f'{name}{value.dtype}{tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
