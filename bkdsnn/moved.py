"""Modules under the names that they had before: importing one works, and says where it is now."""
import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Optional, Sequence

MOVED = {
    'bkdsnn.apis.methods': 'bkdsnn.config.methods',
    'bkdsnn.apis.pipelines': 'bkdsnn.datasets.pipelines',
    'bkdsnn.config.check': 'bkdsnn.config.checks',
    'bkdsnn.models.layers.time': 'bkdsnn.models.layers.time_axis',
    'bkdsnn.utils.checkpoint': 'bkdsnn.checkpoints.files',
    'bkdsnn.utils.config_check': 'bkdsnn.config.checks',
    'bkdsnn.utils.logs': 'bkdsnn.runs.logs',
    'bkdsnn.utils.official_keys': 'bkdsnn.checkpoints.official.keys',
    'bkdsnn.utils.official_models': 'bkdsnn.checkpoints.official.models',
    'bkdsnn.utils.published': 'bkdsnn.checkpoints.published',
    'bkdsnn.utils.runs': 'bkdsnn.runs.folders',
    'bkdsnn.visualization.play': 'bkdsnn.play',
    'bkdsnn.visualization.report': 'bkdsnn.report',
}


class MovedModules(MetaPathFinder, Loader):
    """Finds what is in :data:`MOVED`, and what is below it."""

    def find_spec(self, fullname: str, path: Optional[Sequence[str]], target=None) -> Optional[ModuleSpec]:
        """A spec for an old name, ``None`` for any other."""
        new = next((new + fullname[len(old):] for old, new in MOVED.items()
                    if fullname == old or fullname.startswith(f'{old}.')), None)
        return new and ModuleSpec(fullname, self, loader_state=new, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """A module that has what the new one has."""
        new = import_module(spec.loader_state)
        warnings.warn(f'{spec.name} is {new.__name__} now.', FutureWarning, stacklevel=2)
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: getattr(new, name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def install() -> None:
    """Let old names be imported."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
