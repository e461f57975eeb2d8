"""Pairs of student and teacher, and methods of distillation: any method runs on any pair."""
from pathlib import Path
from typing import Dict

from mmengine.config import Config

from .fragments import fragments, read_fragment, take_imports


def pairs() -> Dict[str, Path]:
    """Names of the pairs that come along, with their files: student, teacher, data and schedule, without losses."""
    return fragments('pairs')


def methods() -> Dict[str, Path]:
    """Names of the methods that come along, with their files: losses, and what of them is tuned."""
    return fragments('methods')


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
    fragment = read_fragment('--method', method, methods(), 'losses')
    if 'student' not in cfg.model:
        raise ValueError(f'--method {method} needs a pair of student and teacher, but {cfg.filename} has no '
                         'model.student. tools/list_experiments.py lists the pairs.')
    cfg.model.losses = fragment.losses
    cfg.pop('search', None)
    if 'search' in fragment:  # what tools/compare_methods.py tunes of it
        cfg.search = fragment.search
    take_imports(cfg, fragment)
