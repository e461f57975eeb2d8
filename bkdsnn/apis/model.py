"""Models by config or by name."""
import fnmatch
import os.path as osp
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Union

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from ..checkpoints import hub
from ..checkpoints.classes import classes_in
from ..checkpoints.files import load_file, load_weights, resolve, some_of
from ..checkpoints.weights import not_finite
from ..config.files import read_config_file
from ..config.networks import model_config, network_alone, student_config
from ..config.roots import config_root


def _model_files() -> Dict[str, Path]:
    root = config_root()
    files = sorted(path for path in root.rglob('*.py') if '_base_' not in path.relative_to(root).parts)
    return {path.relative_to(root).with_suffix('').as_posix(): path for path in files}


def published_weights() -> Dict[str, str]:
    """File or URL of the weights of each model that has some, from ``Weights`` in the metafiles beside the configs."""
    root, found = config_root(), {}
    for metafile in sorted(root.glob('*/metafile.yml')):
        for entry in yaml.load(metafile.read_text(), getattr(yaml, 'CSafeLoader', yaml.SafeLoader))['Models']:
            if weights := entry.get('Weights'):
                name = PurePosixPath(entry['Config']).relative_to('configs').with_suffix('').as_posix()
                found[name] = weights if '://' in weights else str(root.parent / weights)
    return found


def list_models(pattern: str = '*', pretrained: bool = False) -> List[str]:
    """Names for :func:`get_model`, sorted.

    Args:
        pattern: May hold ``*`` and ``?``, as in ``'*former*'``; ``'hf://owner/*'`` lists what an owner has on the hub.
        pretrained: Whether to list only those that ``get_model(name, pretrained=True)`` has weights of.
    """
    if pattern.startswith(hub.PREFIX):
        return hub.list_names(pattern)
    names = published_weights() if pretrained else _model_files()
    return sorted(name for name in names if fnmatch.fnmatch(name, pattern))


def get_model(name: str,
              pretrained: Union[bool, str, Path] = False,
              device: Union[str, torch.device] = 'cpu',
              fuse_conv_bn: bool = False,
              spike_driven: bool = False,
              sparse_convs: bool = False) -> nn.Module:
    """Build the network of one of the package's configs; of a distillation config, its student.

    Args:
        name: As :func:`list_models` gives it, such as ``'demo/mixed'``; or a network on the hub with its weights,
            ``'hf://owner/name'`` or ``'hf://owner/name@revision'``, of which only registered components are built.
        pretrained: ``False`` leaves the weights random, ``True`` takes those that are published; or a file, a URL
            (downloaded once, into PyTorch's hub folder) or the work directory of a run.
        device: Where to put it.
        fuse_conv_bn: As in :func:`init_model`; likewise
        spike_driven: whether its integers are unfolded, and
        sparse_convs: whether its convolutions skip zeros.

    Raises:
        ValueError: If there is no such config; the message offers the nearest names. Or if it has no published weights,
            the weights are not its own, or norms shall be joined, integers unfolded or zeros skipped that it does not
            have.
        OSError: If a file is missing or cannot be downloaded.
    """
    inference = dict(fuse_conv_bn=fuse_conv_bn, spike_driven=spike_driven, sparse_convs=sparse_convs)
    if name.startswith(hub.PREFIX):
        if pretrained not in (True, False):
            raise ValueError(f'{name} brings its weights, so pretrained={str(pretrained)!r} has no place; leave it '
                             'out, or give a config and these weights to init_model().')
        return init_model(None, hub.download(name), device, **inference)
    files = _model_files()
    if name not in files:
        near = get_close_matches(name, files, n=3, cutoff=0.3) or list(files)[:3]
        raise ValueError(f'there is no model {name!r}; the nearest are {", ".join(near)}. list_models() lists all.')
    if pretrained is True:
        published = published_weights()
        if name not in published:
            raise ValueError(f'no weights of {name!r} are published, only of {some_of(sorted(published), 8)}. Train it '
                             f'with python tools/train.py configs/{name}.py, and give its work directory, a file or a '
                             'URL as pretrained.')
        pretrained = published[name]
    return init_model(str(files[name]), str(pretrained) if pretrained else None, device, **inference)


def init_model(config: Union[str, Config, None] = None,
               checkpoint: Optional[str] = None,
               device: Union[str, torch.device] = 'cpu',
               fuse_conv_bn: bool = False,
               spike_driven: bool = False,
               sparse_convs: bool = False) -> nn.Module:
    """Build a network in eval mode, with its weights; of a distillation config, the student alone.

    Args:
        config: Config, or path of one, which is a program; ``None`` reads it from a checkpoint of
            ``publish_model.py``, of which only registered components are built.
        checkpoint: File, URL or work directory; of a distillation run, the student's weights are taken.
        device: Where to put it.
        fuse_conv_bn: Whether to join its batch norms with the convolutions before them, see
            :func:`bkdsnn.models.layers.fuse_conv_bn`: faster, and for inference alone.
        spike_driven: Whether neurons that emit integers emit binary spikes instead, see
            :func:`bkdsnn.models.spike_driven`.
        sparse_convs: Whether its convolutions skip the zeros of spikes, on CPUs and for inference alone, see
            :func:`bkdsnn.models.layers.skipping_zeros`.

    Returns:
        The network, with ``cfg`` and, where the checkpoint says, ``dataset_meta``.

    Raises:
        ValueError: If the checkpoint does not fit, holds no config where one is needed or one that could run code, or
            norms shall be joined, integers unfolded or zeros skipped that the network does not have.
        FileNotFoundError: If a file is missing.
    """
    from .. import models  # noqa: F401  # the components are registered with it, which is heavy
    from ..config.checks import MODEL, check_config  # likewise
    from ..registry import MODELS  # likewise: listing models needs none of them
    if config is None:
        from ..checkpoints.published_config import read_config  # brings the registries
        text = load_file(resolve(checkpoint)).get('meta', {}).get('config_json')
        if not text:
            raise ValueError(f'checkpoint {checkpoint!r} was not published with its config; give the config as the '
                             'first argument.')
        config = read_config(text, checkpoint)
    elif not isinstance(config, Config):
        if not osp.isfile(config):
            raise FileNotFoundError(f'config {config!r} does not exist; list_models() lists those of the package.')
        config = read_config_file(config)
    check_config(network_alone(config), MODEL)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = MODELS.build(student_config(model_config(config)))
    if checkpoint is not None:
        load_classes(model, load_weights(model, checkpoint), checkpoint)
    model.cfg = config
    model.to(device).eval()
    return _for_inference(model, fuse_conv_bn, spike_driven, sparse_convs)


def _for_inference(model: nn.Module, fuse_conv_bn: bool = False, spike_driven: bool = False, sparse_convs: bool = False
                   ) -> nn.Module:
    """The network, or a copy with norms joined with its convolutions, integers unfolded, and zeros skipped."""
    if fuse_conv_bn:
        from ..models.layers import fuse_conv_bn as fuse  # heavy
        model = fuse(model)
    if spike_driven:
        from ..models import spike_driven as unfold  # likewise
        model = unfold(model)
    if sparse_convs:
        from ..models.layers import skipping_zeros  # likewise
        model = skipping_zeros(model)
    return model


def load_classes(model: nn.Module, checkpoint: dict, path: str) -> None:
    """Let a network have the ``dataset_meta`` of its checkpoint.

    Raises:
        ValueError: If it names other classes than there are, or something else than classes.
    """
    meta = checkpoint.get('meta', {}).get('dataset_meta')
    classes = classes_in(meta, f'checkpoint {path!r}')
    number = getattr(getattr(model, 'head', None), 'num_classes', None)
    if classes and number and len(classes) != number:
        raise ValueError(f'checkpoint {path!r} names {len(classes)} classes (meta.dataset_meta), but its network has '
                         f'{number}.')
    model.dataset_meta = meta or getattr(model, 'dataset_meta', None)


def build_model(model: Union[str, Path, Config, nn.Module], pretrained: Union[bool, str, Path],
                device: Union[str, torch.device, None], **inference: bool) -> nn.Module:
    """The network that an inferencer is asked for; see :class:`SpikingInferencer`."""
    if device is not None and torch.device(device).type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f"device={str(device)!r} is asked for, but PyTorch sees no GPU; take device='cpu'.")
    weights = None if pretrained in (True, False, None) else str(pretrained)
    if isinstance(model, nn.Module):
        if not hasattr(model, 'cfg'):
            raise ValueError(f'{type(model).__name__} has no cfg, which says how inputs are prepared; build it with '
                             'get_model() or init_model().')
        if weights is not None:
            load_classes(model, load_weights(model, weights), weights)
        if damaged := not_finite(dict(model.named_parameters())):
            raise ValueError(f'the {type(model).__name__} has weights that are not finite: {some_of(damaged)}.')
        return _for_inference((model if device is None else model.to(device)).eval(), **inference)
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if isinstance(model, str) and model.startswith(hub.PREFIX):
        return get_model(model, pretrained or False, device, **inference)
    suffix = '.py' if isinstance(model, Config) else Path(model).suffix
    if suffix == '.py' and pretrained is True:
        raise ValueError('a config has no published weights; give a file, a URL or a work directory as pretrained.')
    if suffix == '.py':
        return init_model(model if isinstance(model, Config) else str(model), weights, device, **inference)
    if suffix in ('.pth', '.safetensors'):
        if weights is not None:
            raise ValueError(f'{model} brings its weights, so pretrained={weights!r} has no place; leave it out, or '
                             'give a config with these weights.')
        return init_model(None, str(model), device, **inference)
    return get_model(str(model), pretrained, device, **inference)
