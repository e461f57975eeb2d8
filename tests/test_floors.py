"""Who may import whom: a file imports from its own floor or below, at the top of the file."""
import ast
import importlib
import re
import sys

import pytest

from bkdsnn import moved
from helpers import REPOSITORY
from long_tests import LONG

# From the ground up; what stands together may import each other.
FLOORS = [('registry', 'version', 'moved', 'utils', 'config', 'checkpoints', 'runs'), ('models', 'datasets'),
          ('evaluation', ), ('visualization', ), ('apis', ), ('export', ), ('engine', ), ('report', 'play'),
          ('comparison', )]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
PACKAGE = REPOSITORY / 'bkdsnn'
FILES = sorted(PACKAGE.rglob('*.py'))


def imports_of(source, module):
    """(line, module that is imported, whether inside a function) of each import in the text of a module."""
    tree = ast.parse(source)
    inside = {node for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
              for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.split('.')[:-node.level] if node.level else []
            parent = '.'.join([*above, *filter(None, [node.module])])
            # Of the package itself, what is imported from it may be one of its parts.
            names = [f'{parent}.{alias.name}' for alias in node.names] if parent == 'bkdsnn' else [parent]
        else:
            continue
        for name in names:
            yield node.lineno, name, node in inside


def module_of(path):
    return '.'.join([*path.relative_to(PACKAGE.parent).with_suffix('').parts])


def faults_of(source, module):
    """What a module imports from above, and imports inside functions that give no reason."""
    part = module.split('.')[1]
    for line, name, inside in imports_of(source, module):
        imported = name.split('.')[1] if name.startswith('bkdsnn.') else None
        if imported in FLOOR and part in FLOOR and FLOOR[imported] > FLOOR[part]:
            yield f'{module}:{line} imports {name} from a floor above'
        if inside and '  # ' not in source.splitlines()[line - 1]:
            yield f'{module}:{line} imports {name} inside a function and gives no reason'


def test_every_part_of_the_package_has_a_floor():
    parts = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ('', '.py')}
    assert parts - {'__init__', '__pycache__'} == set(FLOOR)


def test_no_import_runs_up_a_floor():
    assert [fault for path in FILES for fault in faults_of(path.read_text(), module_of(path))] == []


@pytest.mark.parametrize('module,source', [
    ('bkdsnn.models.layers.x', 'from ...evaluation import energy'), ('bkdsnn.registry', 'from .apis import model'),
    ('bkdsnn.evaluation.x', 'from bkdsnn import apis'), ('bkdsnn.datasets.x', 'import bkdsnn.engine.hooks'),
    ('bkdsnn.report.x', 'def f():\n    import timm')])
def test_faults_are_found(module, source):
    assert len(list(faults_of(source, module))) == 1


def test_no_file_has_the_name_of_a_module_of_the_standard_library():
    assert {path.stem for path in FILES} & sys.stdlib_module_names == set()


def test_docs_name_no_module_by_its_old_name():
    for page in REPOSITORY.glob('docs/**/*.md'):
        named = set(re.findall(r'automodule:: (\S+)', page.read_text(encoding='utf-8')))
        assert not [name for name in named for old in moved.MOVED if name == old or name.startswith(f'{old}.')], page


@pytest.mark.parametrize('old,new', sorted(moved.MOVED.items()))
def test_names_from_before_can_be_imported(old, new):
    with pytest.warns(FutureWarning, match=f'{new} now'):
        sys.modules.pop(old, None)
        module = importlib.import_module(old)
    assert module.__doc__ is None and all(getattr(module, name) is value
                                          for name, value in vars(importlib.import_module(new)).items()
                                          if not name.startswith('__'))


def test_a_name_that_never_was_is_missing():
    with pytest.raises(ModuleNotFoundError, match='bkdsnn.utils.never'):
        importlib.import_module('bkdsnn.utils.never')
    with pytest.warns(FutureWarning), pytest.raises(ModuleNotFoundError, match='bkdsnn.report.never'):
        sys.modules.pop('bkdsnn.visualization.report', None)
        importlib.import_module('bkdsnn.visualization.report.never')


def test_tests_that_are_left_to_a_run_of_their_own_exist():
    for path, names in LONG.items():
        text = (REPOSITORY / 'tests' / path).read_text(encoding='utf-8')
        for name in (name.partition('[')[0] for name in names if name.startswith('test_')):
            assert f'def {name}' in text, f'{path} has no {name}'
