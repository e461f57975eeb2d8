"""Settings from the command line."""
from typing import Any, Optional

from mmengine.config import Config

from bkdsnn.utils.names import suggestion

from .arguments import arguments_of
from .places import PLACES, READ


def merge_options(cfg: Config, options: dict) -> None:
    """Merge ``--cfg-options`` into a config.

    Args:
        cfg: The config, which is changed.
        options: Values by key, joined by dots; numbers stand for entries of lists.

    Raises:
        ValueError: If the config has no such key at its top, or there is no place for a value below it.
    """
    check_options(options, cfg)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        obstacles = [f'{key}={value!r} finds no place: {_obstacle(cfg, key)}' for key, value in options.items()
                     if _obstacle(cfg, key)]
        raise ValueError(f'--cfg-options {obstacles[0] if obstacles else error}') from error


def check_options(options: dict, cfg: Config) -> None:
    """Check that command-line options change keys that the config or mmengine's runner has.

    Raises:
        ValueError: For the first key that neither has; a misspelled one would be ignored silently.
    """
    known = {*cfg, *arguments_of(PLACES[''].default).named, *READ} - {'self', 'cfg'}
    for key in options:
        name = key.split('.')[0]
        if name not in known:
            raise ValueError(f'--cfg-options {key}: there is no {name!r} in the config.{suggestion(name, known)}')


def found_at(cfg: Config, key: str) -> Any:
    """What stands at a dotted key, of which numbers are places in lists; ``None`` if there is nothing."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)):
            cfg = cfg[int(part)] if part.isdigit() and int(part) < len(cfg) else None
        else:
            cfg = cfg.get(part) if isinstance(cfg, (dict, Config)) else None
    return cfg


def _obstacle(cfg: Config, key: str) -> Optional[str]:
    """Why a key leads nowhere; ``None`` if it leads somewhere."""
    node, names = cfg, key.split('.')
    for i, name in enumerate(names):
        path = '.'.join(names[:i])
        if isinstance(node, list):
            if not name.isdigit() or int(name) >= len(node):
                return f'{path} is a list of {len(node)}; {path}.0 is its first entry, and {path}="[...]" replaces it.'
            node = node[int(name)]
        elif isinstance(node, (dict, Config)):
            if name not in node:
                return None
            node = node[name]
        else:
            return f'{path}={node!r} has nothing below it.'
    return None
