"""Models by config or by name."""
import copy
import fnmatch
import os.path as osp
from pathlib import Path
from typing import Dict, List, Optional, Union

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from ..utils.checkpoint import load_weights


def config_root() -> Path:
    """The folder ``configs``: in the repository, or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (root / '_base_').is_dir():
            return root
    raise FileNotFoundError(f'the configs folder is neither beside nor inside {package}; reinstall the package.')


def student_config(model: dict) -> dict:
    """The student's config in a model config; a model config without a teacher is returned as it is."""
    if 'student' not in model:
        return model
    from ..models.distillers.distiller import with_preprocessor
    return with_preprocessor(model['student'], model.get('data_preprocessor'))


def _model_files() -> Dict[str, Path]:
    root = config_root()
    files = sorted(path for path in root.rglob('*.py') if '_base_' not in path.relative_to(root).parts)
    return {path.relative_to(root).with_suffix('').as_posix(): path for path in files}


def list_models(pattern: str = '*') -> List[str]:
    """Names for :func:`get_model`, sorted; ``pattern`` may hold ``*`` and ``?``."""
    return [name for name in _model_files() if fnmatch.fnmatch(name, pattern)]


def get_model(name: str, checkpoint: Optional[str] = None, device: Union[str, torch.device] = 'cpu') -> nn.Module:
    """Build the network of one of the package's configs; of a distillation config, its student.

    Args:
        name: As :func:`list_models` gives it, such as ``'demo/mixed'``.
        checkpoint: File, URL or work directory with its weights; ``None`` leaves them random.
        device: Where to put it.

    Raises:
        ValueError: If there is no such config; the message offers the nearest names.
    """
    files = _model_files()
    if name not in files:
        from difflib import get_close_matches
        near = get_close_matches(name, files, n=3, cutoff=0.3) or list(files)[:3]
        raise ValueError(f'there is no model {name!r}; the nearest are {", ".join(near)}. list_models() lists all.')
    return init_model(str(files[name]), checkpoint, device)


def init_model(config: Union[str, Config, None] = None,
               checkpoint: Optional[str] = None,
               device: Union[str, torch.device] = 'cpu') -> nn.Module:
    """Build a network in eval mode, with its weights; of a distillation config, the student alone.

    Args:
        config: Config, or path of one; ``None`` reads it from a checkpoint of ``publish_model.py``.
        checkpoint: File, URL or work directory; of a distillation run, the student's weights are taken.
        device: Where to put it.

    Returns:
        The network, with ``cfg`` and, where the checkpoint says, ``dataset_meta``.

    Raises:
        ValueError: If the checkpoint does not fit, or holds no config where one is needed.
        FileNotFoundError: If a file is missing.
    """
    from ..models import SpikingClassifier  # noqa: F401  registers the components
    from ..registry import MODELS
    from ..utils.checkpoint import load_file, resolve
    if config is None:
        # Not meta.cfg, which mmengine writes as Python: reading that would run it.
        text = load_file(resolve(checkpoint)).get('meta', {}).get('config_json')
        if not text:
            raise ValueError(f'checkpoint {checkpoint!r} was not published with its config; give the config as the '
                             'first argument.')
        config = Config.fromstring(text, file_format='.json')
    elif not isinstance(config, Config):
        if not osp.isfile(config):
            raise FileNotFoundError(f'config {config!r} does not exist; list_models() lists those of the package.')
        config = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model_config = student_config(copy.deepcopy(config.model))
        # As mmengine's runner does.
        if model_config.get('data_preprocessor') is None and config.get('data_preprocessor') is not None:
            model_config = dict(model_config, data_preprocessor=config.data_preprocessor)
        model = MODELS.build(model_config)
    if checkpoint is not None:
        loaded = load_weights(model, checkpoint)
        model.dataset_meta = loaded.get('meta', {}).get('dataset_meta')
    model.cfg = config
    return model.to(device).eval()
