"""Checkpoints to share as ``.safetensors``: weights, which other programs can read too, and in the header what is said
of them, as JSON."""
import hashlib
import json
from typing import Any, Dict

import torch
from torch import Tensor

SUFFIX = '.safetensors'
# One, since the library writes several in any order, and the same content shall have the same hash.
HEADER_KEY = 'bkdsnn'
# In there, of all else that is in the file, since the format has no check sums.
SUM_KEY = 'sha256'


def to_bytes(checkpoint: dict) -> bytes:
    """The file of a checkpoint.

    Args:
        checkpoint: ``state_dict`` with tensors, and ``meta`` with what JSON can hold.

    Raises:
        ValueError: If it holds more than these.
    """
    from safetensors.torch import save  # only needed for such files
    if more := sorted(checkpoint.keys() - {'state_dict', 'meta'}):
        raise ValueError(f'{", ".join(more)} cannot be in a {SUFFIX} file, only weights and their meta; write .pth.')
    # The library refuses tensors that share memory or are not contiguous.
    weights = {name: value.detach().clone().contiguous() for name, value in checkpoint['state_dict'].items()}
    meta = json.loads(json.dumps(checkpoint.get('meta', {}), default=_as_list))
    return save(weights, {HEADER_KEY: json.dumps({**meta, SUM_KEY: _sum(weights, meta)})})


def load(path: str) -> dict:
    """A file of :func:`to_bytes` or of another program, onto the CPU.

    Returns:
        ``state_dict`` and ``meta``, empty if another program wrote it; in its ``dataset_meta`` lists are tuples again.

    Raises:
        ValueError: If it is not what was written.
    """
    from safetensors import safe_open  # likewise
    with safe_open(path, framework='pt', device='cpu') as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}
        meta = json.loads((file.metadata() or {}).get(HEADER_KEY, '{}'))
    if not isinstance(meta, dict):
        raise ValueError(f'its {HEADER_KEY} is a {type(meta).__name__}, not a dict')
    # Those of before have none.
    if SUM_KEY in meta and meta.pop(SUM_KEY) != _sum(weights, meta):
        raise ValueError('its content is not what was written, by its check sum')
    if isinstance(meta.get('dataset_meta'), dict):
        meta['dataset_meta'] = {key: tuple(value) if isinstance(value, list) else value
                                for key, value in meta['dataset_meta'].items()}
    return dict(state_dict=weights, meta=meta)


def _as_list(array: Any) -> Any:
    return array.tolist()


def _sum(weights: Dict[str, Tensor], meta: dict) -> str:
    """SHA-256 of weights and meta."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
