"""Reading checkpoints: without running code from the file, and strictly."""
import os
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import torch
from torch import Tensor, nn

from ..utils.atomic import write_atomically
from . import tensor_files
from .plain_data import only_names, plain
from .progress import Progress
from .published import check_hash, download

STUDENT_PREFIX = 'student.'
# What mmengine calls the checkpoints of a run.
NUMBERED = re.compile(r'(epoch|iter)_\d+\.pth')


def load_file(path: str, map_location: Any = 'cpu') -> dict:
    """Load a checkpoint file (PyTorch's or ``.safetensors``) or URL: tensors and plain data only, whatever it says.

    A URL is downloaded once. A name that ends in ``-<first eight digits of the SHA-256>`` is held to it.

    Args:
        path: File or URL.
        map_location: As for ``torch.load``; ``.safetensors`` files are always loaded onto the CPU.

    Returns:
        What the file holds; of a ``.safetensors`` file, see :func:`bkdsnn.checkpoints.tensor_files.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If a URL cannot be downloaded.
        ValueError: If the file is truncated, not a checkpoint, holds code, or is not the one that its name says.
    """
    if '://' in path:
        path = download(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'checkpoint {path!r} does not exist (looked in {os.getcwd()}).')
    check_hash(path)
    try:
        if path.endswith(tensor_files.SUFFIX):
            return tensor_files.load(path)
        with only_names():
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        checkpoint = plain(checkpoint)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise ValueError(f'checkpoint {path!r} cannot be read: {_reason(error)}. It may be truncated or may come from '
                         'another program; train or download it again.') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'checkpoint {path!r} holds a {type(checkpoint).__name__}, not a dict of weights.')
    return checkpoint


def _reason(error: Exception) -> str:
    """PyTorch's reason, without its advice to read the file in a way that runs its code."""
    text = str(error) or type(error).__name__
    if name := re.search(r'GLOBAL (\S+)', text):
        return f'it names {name[1]}, which is neither a tensor nor plain data'
    said = re.search(r'WeightsUnpickler error:\s*(.*)', text) or re.match(r'(?:Weights only load failed\. )?(.*)', text)
    return re.split(r'\. |\.$', said[1])[0]


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """Path of the latest checkpoint of the run in a work directory, or ``None``.

    It is the one that the run has recorded. A kill may have left none or an outdated record; then it is the one with
    the most steps. Checkpoints of an earlier run do not count from when another has begun in its folder.
    """
    folder, others = Path(work_dir), Progress.of(work_dir).others
    record = folder / 'last_checkpoint'
    if record.is_file():
        # The record holds the path as it was when training; the folder may have moved since.
        path = folder / Path(record.read_text().strip() or '?').name
        if path.is_file() and path.name not in others:
            return str(path)
    own = [path for path in folder.glob('*_*.pth') if NUMBERED.fullmatch(path.name) and path.name not in others]
    latest = {path.name.split('_')[0]: path for path in sorted(own, key=lambda path: (len(path.name), path.name))}
    if len(latest) > 1:  # by epochs and by steps, where names do not say which is later
        return str(max(latest.values(), key=lambda path: load_file(str(path))['meta']['iter']))
    return str(*latest.values()) if latest else None


def resolve(path: str) -> str:
    """The checkpoint file meant by ``path``: itself, or the latest one if it is a work directory.

    Raises:
        FileNotFoundError: If a folder holds no checkpoint.
    """
    if not osp.isdir(path):
        return path
    latest = latest_checkpoint(path)
    if latest is None:
        raise FileNotFoundError(f'the folder {path!r} holds no checkpoint (no last_checkpoint, no epoch_<n>.pth, no '
                                'iter_<n>.pth).')
    return latest


def check_resumable(path: str) -> None:
    """Check that a run can go on from a checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read safely or holds weights only.
    """
    checkpoint = load_file(path)
    if 'optimizer' not in checkpoint or 'epoch' not in checkpoint.get('meta', {}):
        raise ValueError(f'checkpoint {path!r} holds no training state (optimizer, epoch), so a run cannot go on from '
                         'it. Give --resume an epoch_<n>.pth of a run; to start from its weights use load_from.')


def weights_of(checkpoint: dict) -> Dict[str, Tensor]:
    """State dict of the network in a checkpoint; of a distillation run, the student's without the losses' parts."""
    for key in ('state_dict', 'model', 'net'):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    weights = {key.removeprefix('module.'): value for key, value in checkpoint.items()}
    if any(key.startswith(STUDENT_PREFIX) for key in weights):
        weights = {k.removeprefix(STUDENT_PREFIX): v for k, v in weights.items() if k.startswith(STUDENT_PREFIX)}
    return weights


def some_of(keys: Sequence[str], limit: int = 4) -> str:
    """The first few keys, and how many more there are."""
    more = f', and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more


def load_weights(model: nn.Module, path: str, way_out: Optional[str] = None) -> dict:
    """Load the network's weights strictly from a file, a URL or a work directory.

    Args:
        model: Network to fill.
        path: File, URL, or the work directory of a run (its latest checkpoint is taken).
        way_out: What the user should do where the file is missing or does not fit, for the error.

    Returns:
        The whole checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or its keys or shapes are not the model's.
    """
    way_out = f' {way_out}' if way_out else ''
    try:
        checkpoint = load_file(resolve(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error}{way_out}') from None
    fit_weights(model, weights_of(checkpoint), f'checkpoint {path!r} is not of this', way_out)
    return checkpoint


def fit_weights(model: nn.Module, weights: Dict[str, Tensor], complaint: str, way_out: str = '') -> None:
    """Load weights strictly.

    Args:
        model: Network to fill.
        weights: Its state dict.
        complaint: How the error begins; the model's class follows.
        way_out: How it ends.

    Raises:
        ValueError: If keys or shapes are not the model's; the message lists them.
    """
    own = model.state_dict()
    # What neurons say of themselves, which weights of other code do not have; where it is there, it is checked.
    weights = {**{key: value for key, value in own.items() if key.endswith('_extra_state')}, **weights}
    missing, unexpected = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    shapes = [f'{k} ({tuple(weights[k].shape)} in the file, {tuple(own[k].shape)} in the model)'
              for k in own.keys() & weights.keys() if weights[k].shape != own[k].shape]
    problems = [f'{what}: {some_of(keys)}' for what, keys in (
        ('missing keys', missing), ('unexpected keys', unexpected), ('other shapes', sorted(shapes))) if keys]
    if problems:
        raise ValueError(f'{complaint} {type(model).__name__}: {"; ".join(problems)}.{way_out}')
    model.load_state_dict(weights)


def save_file(checkpoint: dict, path: str) -> None:
    """Write a checkpoint whole or not at all; as ``.safetensors`` if the path ends so.

    Raises:
        ValueError: If such a file cannot hold what is beside ``state_dict`` and ``meta``.
    """
    if str(path).endswith(tensor_files.SUFFIX):
        write_atomically(path, lambda file: file.write(tensor_files.to_bytes(checkpoint)))
    else:
        write_atomically(path, lambda file: torch.save(checkpoint, file))
