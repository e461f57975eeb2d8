"""Where the configs that come along lie."""
from pathlib import Path


def config_root() -> Path:
    """The folder ``configs``: in the repository, or inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent / 'configs', package / '.mim' / 'configs'):
        if (root / '_base_').is_dir():
            return root
    raise FileNotFoundError(f'the configs folder is neither beside nor inside {package}; reinstall the package.')
