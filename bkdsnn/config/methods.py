"""Pairs of student and teacher, and methods of distillation: any method runs on any pair."""
from difflib import get_close_matches
from pathlib import Path
from typing import Dict

from mmengine.config import Config

from .files import read_config_file
from .roots import config_root


def pairs() -> Dict[str, Path]:
    """Names of the pairs that come along, with their files: student, teacher, data and schedule, without losses."""
    return _files('pairs')


def methods() -> Dict[str, Path]:
    """Names of the methods that come along, with their files: losses, and what of them is tuned."""
    return _files('methods')


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
    known = methods()
    path = known.get(method, Path(method))
    if not path.is_file():
        near = get_close_matches(method, known, n=1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        raise ValueError(f'--method {method}: {hint}There are {", ".join(known)}; or give the path of a config with '
                         'losses = dict(...).')
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


def _files(folder: str) -> Dict[str, Path]:
    return {path.stem: path for path in sorted((config_root() / '_base_' / folder).glob('*.py'))}
