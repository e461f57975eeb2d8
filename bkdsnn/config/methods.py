"""Pairs of student and teacher, and methods of distillation: any method runs on any pair."""
from pathlib import Path
from typing import Dict

from mmengine.config import Config

from .files import read_config_file
from .roots import base_configs, named_config


def pairs() -> Dict[str, Path]:
    """Names of the pairs that come along, with their files: student, teacher, data and schedule, without losses."""
    return base_configs('pairs')


def methods() -> Dict[str, Path]:
    """Names of the methods that come along, with their files: losses, and what of them is tuned."""
    return base_configs('methods')


def find_pair(name: str) -> str:
    """The file of a pair that is named instead of its path; any other text as it is."""
    return str(pairs().get(name, name))


def apply_method(cfg: Config, method: str) -> None:
    """Give a config the losses of a method, in place of those that it has.

    Args:
        cfg: Of a pair, or of an experiment on one.
        method: Name of a method that comes along, or path of a config with ``losses``.

    Raises:
        ValueError: If there is no such method, the file names no losses, or the config has no student.
    """
    path = named_config('--method', method, methods(), 'losses = dict(...)')
    fragment = read_config_file(path)
    if not fragment.get('losses'):
        raise ValueError(f'--method {method}: {path} has no losses = dict(...).')
    if 'student' not in cfg.model:
        raise ValueError(f'--method {method} needs a pair of student and teacher, but {cfg.filename} has no '
                         'model.student. tools/list_experiments.py lists the pairs.')
    cfg.model.losses = fragment.losses
    cfg.pop('search', None)
    if 'search' in fragment:  # what tools/compare_methods.py tunes of it
        cfg.search = fragment.search
    if 'custom_imports' in fragment:  # so that the run's own config finds its parts too
        imports = [*cfg.get('custom_imports', {}).get('imports', []), *fragment.custom_imports['imports']]
        cfg.custom_imports = dict(imports=imports, allow_failed_imports=False)

