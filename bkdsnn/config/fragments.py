"""Parts of configs that are named instead of their path: pairs, methods, neurons."""
from pathlib import Path
from typing import Dict

from mmengine.config import Config

from bkdsnn.utils.names import suggestion

from .files import read_config_file
from .roots import config_root


def fragments(folder: str) -> Dict[str, Path]:
    """Names of the configs in a folder of ``configs/_base_``, with their files."""
    return {path.stem: path for path in sorted((config_root() / '_base_' / folder).glob('*.py'))}


def read_fragment(option: str, name: str, known: Dict[str, Path], key: str) -> Config:
    """A part that comes along, or one of one's own.

    Args:
        option: Where it was named, for errors.
        name: Name or path.
        known: Those that come along.
        key: What the file has to hold, a dict.

    Raises:
        ValueError: If there is no such file, or it does not hold the key.
    """
    path = known.get(name, Path(name))
    if not path.is_file():
        raise ValueError(f'{option} {name}:{suggestion(name, known)} There are {", ".join(known)}; or give the path of '
                         f'a config with {key} = dict(...).')
    fragment = read_config_file(path)
    if not fragment.get(key):
        raise ValueError(f'{option} {name}: {path} has no {key} = dict(...).')
    return fragment


def take_imports(cfg: Config, fragment: Config) -> None:
    """Let a config import what a part of it imports, so that a run finds it too."""
    if 'custom_imports' in fragment:
        named = [part.get('custom_imports', {}).get('imports', []) for part in (cfg, fragment)]
        imports = [name for names in named for name in ([names] if isinstance(names, str) else names)]
        cfg.custom_imports = dict(imports=imports, allow_failed_imports=False)
