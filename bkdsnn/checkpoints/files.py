"""Reading checkpoints: without running code from the file, and strictly."""
import os
import os.path as osp
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, Optional

import torch
from torch import nn

from ..utils.atomic import write_atomically
from . import hub, tensor_files
from .plain_data import only_names, plain
from .progress import Progress
from .published import check_hash, download
from .training_state import check_training_state
from .weights import fit_weights, not_finite, some_of, state_dict_in, weights_of

# What mmengine calls the checkpoints of a run.
NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')


def load_file(path: str, map_location: Any = 'cpu') -> dict:
    """Load a checkpoint file (PyTorch's or ``.safetensors``) or URL: tensors and plain data only, whatever it says.

    A URL is downloaded once, and so is a network on the hub, ``hf://owner/name``. A name that ends in ``-<first eight
    digits of the SHA-256>`` is held to it.

    Args:
        path: File, URL or name on the hub.
        map_location: As for ``torch.load``; ``.safetensors`` files are always loaded onto the CPU.

    Returns:
        What the file holds; of a ``.safetensors`` file, see :func:`bkdsnn.checkpoints.tensor_files.load`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If a URL cannot be downloaded.
        ValueError: If the file is truncated or damaged, not a checkpoint, holds code, or is not the one that its name
            says. Of a run, the message names the last checkpoint before it that can be read.
    """
    path = on_this_machine(path)
    check_hash(path)
    try:
        return _read(path, map_location)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise ValueError(f'checkpoint {path!r} cannot be read: {_reason(error)}. It may be truncated or may come from '
                         f'another program; {_way_back(path)}') from error


def on_this_machine(path: str) -> str:
    """The file that a path, a URL or a name on the hub stands for; what is not here yet is downloaded.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be downloaded.
    """
    if '://' in path:
        path = hub.download(path) if path.startswith(hub.PREFIX) else download(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'checkpoint {path!r} does not exist (looked in {os.getcwd()}).')
    return path


def _read(path: str, map_location: Any = 'cpu') -> dict:
    if not osp.getsize(path):
        raise ValueError('it is empty (0 bytes)')
    if path.endswith(tensor_files.SUFFIX):
        return tensor_files.load(path)
    if zipfile.is_zipfile(path):
        _check_sums(path)
    with only_names(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of pickles that PyTorch has not written
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    checkpoint = plain(checkpoint)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'it holds a {type(checkpoint).__name__}, not a dict of weights')
    for key in ('meta', 'message_hub'):
        if not isinstance(checkpoint.get(key, {}), dict):
            raise ValueError(f'its {key} is a {type(checkpoint[key]).__name__}, not a dict')
    return checkpoint


def _check_sums(path: str) -> None:
    """PyTorch writes check sums, but does not look at them."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f'{damaged!r} in it is not what was written, by its check sum')


def _reason(error: Exception) -> str:
    """PyTorch's reason, without its advice to read the file in a way that runs its code."""
    text = str(error)
    if isinstance(error, (KeyError, IndexError)) or not text.strip():
        text = f'it is no checkpoint of PyTorch ({type(error).__name__})'
    if name := re.search(r'GLOBAL (\S+)', text):
        return f'it names {name[1]}, which is neither a tensor nor plain data'
    said = re.search(r'WeightsUnpickler error:\s*(.*)', text) or re.match(
        r'\s*(?:Weights only load failed\. )?(.*)', text)
    return re.split(r'\. |\.$', said[1])[0]


def _way_back(path: str) -> str:
    """What to do about a checkpoint that cannot be used: of a run, take the last good one before it."""
    found = NUMBERED.fullmatch(osp.basename(path))
    before = {} if found is None else {
        int(other[2]): file for file in Path(path).parent.iterdir()
        if (other := NUMBERED.fullmatch(file.name)) and other[1] == found[1] and int(other[2]) < int(found[2])}
    for number in sorted(before, reverse=True):
        try:
            if not not_finite(state_dict_in(_read(str(before[number])))):
                return f'{str(before[number])!r}, from before it, is whole: take that one.'
        except Exception:  # as above
            continue
    return 'train or download it again.'


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """Path of the latest checkpoint of the run in a work directory, or ``None``.

    It is the one that the run has recorded, which the hook's ``out_dir`` can have put elsewhere. A kill may have left
    none or an outdated record; then it is the one with the most steps. Checkpoints of an earlier run do not count from
    when another has begun in its folder.
    """
    folder, others = Path(work_dir), Progress.of(work_dir).others
    record = folder / 'last_checkpoint'
    if record.is_file():
        recorded = Path(record.read_text().strip() or '?')
        # The record holds the path as it was when training; the folder may have moved since.
        for path in (folder / recorded.name, recorded):
            if path.is_file() and path.name not in others:
                return str(path)
    own = [path for path in folder.glob('*_*.pth') if NUMBERED.fullmatch(path.name) and path.name not in others]
    latest = {path.name.split('_')[0]: path for path in sorted(own, key=lambda path: (len(path.name), path.name))}
    if len(latest) > 1:  # by epochs and by steps, where names do not say which is later
        return str(max(latest.values(), key=lambda path: load_file(str(path))['meta']['iter']))
    return str(*latest.values()) if latest else None


def resolve(path: str) -> str:
    """The checkpoint file meant by ``path``: itself, or the latest one if it is a work directory; ``~`` is the home.

    Raises:
        FileNotFoundError: If a folder holds no checkpoint.
    """
    path = osp.expanduser(path)
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
        ValueError: If the file cannot be read safely, holds weights only or no sound training state.
    """
    checkpoint = load_file(path)
    if 'optimizer' not in checkpoint or 'epoch' not in checkpoint.get('meta', {}):
        raise ValueError(f'checkpoint {path!r} holds no training state (optimizer, epoch), so a run cannot go on from '
                         'it. Give --resume an epoch_<n>.pth of a run; to start from its weights use load_from.')
    check_training_state(checkpoint, f'checkpoint {path!r}')


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
        ValueError: If the file cannot be read, its names, shapes or kinds of numbers are not the model's, or numbers
            are not finite.
    """
    try:
        checkpoint = load_file(resolve(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error} {way_out}' if way_out else str(error)) from None
    try:
        weights = weights_of(checkpoint)
    except ValueError as error:
        raise ValueError(f'checkpoint {path!r} holds no weights: {error}.') from error
    fit_weights(model, weights, f'checkpoint {path!r}', way_out or '')
    return checkpoint


def save_file(checkpoint: dict, path: str) -> None:
    """Write a checkpoint whole or not at all; as ``.safetensors`` if the path ends so.

    Raises:
        ValueError: If weights are not finite, or such a file cannot hold what is beside ``state_dict`` and ``meta``.
    """
    if damaged := not_finite(checkpoint['state_dict']):
        raise ValueError(f'weights are not finite, so {path} is not written: {some_of(damaged)}.')
    if str(path).endswith(tensor_files.SUFFIX):
        write_atomically(path, lambda file: file.write(tensor_files.to_bytes(checkpoint)))
    else:
        write_atomically(path, lambda file: torch.save(checkpoint, file))
