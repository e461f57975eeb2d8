"""Networks on Hugging Face's hub: ``hf://owner/name``, of a revision ``hf://owner/name@v1``.

A repository holds ``model.safetensors``, a file as ``publish_model.py`` writes it; ``config.json``, the SHA-256 of that
file and, for readers, the network's config, which is built from the one inside the weights; and ``README.md``, the
model card. Cache, revisions, tokens and working offline are the library's: ``HF_HOME``, ``HF_TOKEN``,
``HF_HUB_OFFLINE``.
"""
import fnmatch
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Dict, List, Optional, Tuple

from ..utils.optional import require
from .published import sha256

PREFIX = 'hf://'
WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.json', 'README.md'
TAG = 'bkdsnn'
REPOSITORY = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')
SUM_KEY = 'sha256'


def check_repository(name: str) -> str:
    """The name of a repository.

    Raises:
        ValueError: If it is none.
    """
    if not REPOSITORY.fullmatch(name):
        raise ValueError(f'{name!r} is not the name of a repository on the hub, which is owner/name.')
    return name


def parse(name: str) -> Tuple[str, Optional[str]]:
    """Repository and revision of ``hf://owner/name@revision``; no revision is the main branch.

    Raises:
        ValueError: If the name is of another form.
    """
    repository, at, revision = name.removeprefix(PREFIX).partition('@')
    if not name.startswith(PREFIX) or not REPOSITORY.fullmatch(repository) or bool(at) != bool(revision):
        raise ValueError(f'{name!r} must be hf://owner/name, or hf://owner/name@revision with a branch, tag or commit.')
    return repository, revision or None


def download(name: str) -> str:
    """The local copy of a repository's weights, from the library's cache, where the first call puts it.

    Args:
        name: As :func:`parse` takes it.

    Returns:
        Path of the file.

    Raises:
        ModuleNotFoundError: If ``huggingface_hub`` is not installed.
        FileNotFoundError: If there is no such repository, revision, or none that this package has written.
        OSError: If it is not in the cache and cannot be downloaded.
        ValueError: If the name is wrong, or the weights are not those that the repository's config names.
    """
    repository, revision = parse(name)
    config = _get(name, repository, CONFIG, revision)
    try:
        expected = json.loads(Path(config).read_text(encoding='utf-8'))[SUM_KEY]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{name}: its {CONFIG} names no {SUM_KEY} of the weights, so it was not written by '
                         'push_to_hub.py. Download its files yourself, and give config and weights.') from error
    # The folder is named after the commit, so that both files are of one, whatever is pushed meanwhile.
    weights = _get(name, repository, WEIGHTS, Path(config).parent.name)
    if (found := sha256(weights)) != expected:
        raise ValueError(f'{name}: {weights} is not the file that was pushed: its SHA-256 begins with {found[:8]}, '
                         f'{CONFIG} says {str(expected)[:8]}. Delete it and get it again; if that does not help, the '
                         'repository is damaged: name an earlier revision.')
    return weights


def list_names(pattern: str) -> List[str]:
    """Networks of this package on the hub, sorted.

    Args:
        pattern: As ``'hf://owner/*'``; an owner without ``*`` and ``?`` is asked for alone.

    Raises:
        ModuleNotFoundError, OSError: As :func:`download`.
    """
    owner = pattern.removeprefix(PREFIX).partition('/')[0]
    library = _library()
    try:
        found = list(library.HfApi().list_models(filter=TAG, author=None if re.search(r'[*?[]', owner) else owner))
    except Exception as error:  # of the library, and of its HTTP client
        raise OSError(f'the hub cannot be asked for {pattern!r}: {error}') from error
    return sorted(name for name in (PREFIX + model.id for model in found) if fnmatch.fnmatch(name, pattern))


def push(repository: str, files: Dict[str, bytes], message: str, private: Optional[bool] = None,
         revision: Optional[str] = None) -> str:
    """Put files into a repository as one commit, so that all come or none; it is made if there is none.

    Args:
        repository: ``owner/name``.
        files: Contents by name.
        message: Of the commit.
        private: Whether a new repository is; ``None`` leaves that to the owner's settings.
        revision: Branch, made if there is none; ``None`` is the main one.

    Returns:
        The commit, 40 hexadecimal digits.

    Raises:
        ModuleNotFoundError: As :func:`download`.
        OSError: If the hub cannot be reached or refuses.
    """
    library = _library()
    api = library.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        done = api.create_commit(
            repository, [library.CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=message, revision=revision)
    except Exception as error:  # as above
        raise OSError(f'{repository} was not pushed: {error}. All files are one commit, so that none is there alone. '
                      'Log in with hf auth login, or set HF_TOKEN to a token that may write.') from error
    return done.oid


def _library() -> ModuleType:
    library, *_ = (require(module, 'huggingface_hub', f'a network on the hub ({PREFIX}owner/name)') for module in
                   ('huggingface_hub', 'huggingface_hub.errors', 'huggingface_hub.constants'))
    return library


def _get(name: str, repository: str, file: str, revision: Optional[str]) -> str:
    library = _library()
    try:
        return library.hf_hub_download(repository, file, revision=revision)
    except library.errors.LocalEntryNotFoundError as error:
        reason = ' '.join(str(error.__cause__ or error).split())
        raise OSError(f'{name}: {file} is not in the cache, and cannot be downloaded: {reason.rstrip(".")}. Ask for it '
                      'once with a network and without HF_HUB_OFFLINE, or copy the cache from where it is to '
                      f'{library.constants.HF_HUB_CACHE}.') from error
    except library.errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f'{name}: {repository} has no branch, tag or commit {revision!r}.') from error
    except library.errors.EntryNotFoundError as error:
        raise FileNotFoundError(f'{name}: {repository} has no {file}, so it was not written by push_to_hub.py.'
                                ) from error
    except library.errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(f'{name}: there is no repository {repository} on the hub, or it is private. If it is, '
                                'log in with hf auth login or set HF_TOKEN.') from error
    except Exception as error:  # as above
        raise OSError(f'{name}: {file} cannot be downloaded: {error}') from error
