"""Packages that only some commands need."""
import importlib
from types import ModuleType


def require(module: str, package: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: Name to import.
        package: What pip calls it.
        purpose: What needs it, for the error.

    Raises:
        ModuleNotFoundError: If it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ModuleNotFoundError(f'{purpose} needs the package {package}; install it with: pip install {package}',
                                  name=module) from error
