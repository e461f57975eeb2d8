"""Where the configs that come along lie."""
from pathlib import Path
from typing import Dict

from bkdsnn.utils.names import suggestion


def config_root() -> Path:
    """The folder ``configs``: in the repository, or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (root / '_base_').is_dir():
            return root
    raise FileNotFoundError(f'the configs folder is neither beside nor inside {package}; reinstall the package.')


def base_configs(folder: str) -> Dict[str, Path]:
    """Names of the configs in a folder of ``configs/_base_``, with their files."""
    return {path.stem: path for path in sorted((config_root() / '_base_' / folder).glob('*.py'))}


def named_config(option: str, name: str, known: Dict[str, Path], needs: str) -> Path:
    """The file of a part that is named, or the path of one's own.

    Args:
        option: Where it was named, for errors.
        name: Name or path.
        known: Those that come along.
        needs: What a file of one's own has to hold.

    Raises:
        ValueError: If there is none.
    """
    path = known.get(name, Path(name))
    if not path.is_file():
        raise ValueError(f'{option} {name}:{suggestion(name, known)} There are {", ".join(known)}; or give the path of '
                         f'a config with {needs}.')
    return path
