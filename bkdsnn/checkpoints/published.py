"""Files of weights that carry their hash in their names, and those behind URLs."""
import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Optional, Union
from urllib.parse import unquote, urlparse

import torch

# As publish_model.py, mmpretrain and torchvision name files. Eight digits that are a date are no hash.
HASH = re.compile(r'-(?!(?:19|20)\d\d[01]\d[0-3]\d\.)([0-9a-f]{8})\.(?:pth|pt|safetensors)$')


def sha256(path: Union[str, Path]) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def hash_in(name: str) -> Optional[str]:
    """The first eight digits of the SHA-256 that a file's name ends in, such as ``net-0a1b2c3d.pth``; else ``None``."""
    found = HASH.search(name)
    return found.group(1) if found else None


def check_hash(path: Union[str, Path]) -> None:
    """Check a file against the hash in its name, if there is one.

    Raises:
        ValueError: If it does not fit.
    """
    expected = hash_in(str(path))
    if expected and (found := sha256(path)[:8]) != expected:
        raise ValueError(f'{path} is not the file that was published: its SHA-256 begins with {found}, its name says '
                         f'{expected}. Delete it and get it again; if it was changed on purpose, rename it.')


def download(url: str) -> str:
    """The local copy of a URL: from PyTorch's hub folder, where the first call puts it. Later ones need no network.

    Each URL has a folder of its own there, named after its hash: files of one name from two places are two files.

    Returns:
        Path of the file.

    Raises:
        OSError: If it is not there and cannot be downloaded; the message names URL and place.
        ValueError: If the URL names no file, or what comes does not have the hash that the name says.
    """
    name = PurePosixPath(unquote(urlparse(url).path)).name
    if name in ('', '.', '..'):
        raise ValueError(f'{url} names no file; give the whole address of one.')
    folder = Path(torch.hub.get_dir()) / 'checkpoints' / hashlib.sha256(url.encode()).hexdigest()[:32]
    path = folder / name
    if path.is_file():
        return str(path)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_in(name))
    except OSError as error:  # urllib's are
        raise OSError(f'{url} cannot be downloaded ({error}). Without network, get it elsewhere and put it at {path}.'
                      ) from error
    except RuntimeError as error:
        raise ValueError(f'{url} is not the file that was published: {error}. Nothing was kept.') from error
    return str(path)
