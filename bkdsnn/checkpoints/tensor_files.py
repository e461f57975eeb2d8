"""Checkpoints to share as ``.safetensors``: weights, which other programs can read too, and in the header what is said
of them, as JSON."""
import json
from typing import Any

SUFFIX = '.safetensors'
# One, since the library writes several in any order, and the same content shall have the same hash.
HEADER_KEY = 'bkdsnn'


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
    return save(weights, {HEADER_KEY: json.dumps(checkpoint.get('meta', {}), default=_as_list)})


def load(path: str) -> dict:
    """A file of :func:`to_bytes` or of another program, onto the CPU.

    Returns:
        ``state_dict`` and ``meta``, empty if another program wrote it; in its ``dataset_meta`` lists are tuples again.
    """
    from safetensors import safe_open  # likewise
    with safe_open(path, framework='pt', device='cpu') as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}
        meta = json.loads((file.metadata() or {}).get(HEADER_KEY, '{}'))
    if 'dataset_meta' in meta:
        meta['dataset_meta'] = {key: tuple(value) if isinstance(value, list) else value
                                for key, value in meta['dataset_meta'].items()}
    return dict(state_dict=weights, meta=meta)


def _as_list(array: Any) -> Any:
    return array.tolist()
