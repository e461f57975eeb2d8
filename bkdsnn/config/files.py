"""Reading config files, with errors that name the file and the line."""
import ast
import json
import os.path as osp
import re
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Iterator, Tuple, Union

import yaml
from mmengine.config import Config

from ..utils.names import suggestion

SUFFIXES = ('.py', '.json', '.yaml', '.yml')
# What mmengine fills in for ``{{ name }}``.
VARIABLES = dict(fileDirname=osp.dirname, fileBasename=osp.basename,
                 fileBasenameNoExtension=lambda path: osp.splitext(osp.basename(path))[0],
                 fileExtname=lambda path: osp.splitext(path)[1])


def read_config_file(path: Union[str, Path]) -> Config:
    """Read a config, and import what its ``custom_imports`` name. It is a program: reading it runs it.

    Args:
        path: A ``.py``, or a ``.json`` or ``.yaml``.

    Raises:
        FileNotFoundError: If it, or a file of ``_base_``, does not exist.
        ValueError: If it cannot be read; the message names the file, and the line where there is one.
    """
    path = str(path)
    if not osp.isfile(path):
        folder = Path(path).parent
        names = [file.name for file in folder.glob('*') if file.suffix in SUFFIXES] if folder.is_dir() else []
        raise FileNotFoundError(f'config {path!r} does not exist.{suggestion(Path(path).name, names)}')
    _check_file(path, ())
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # it is a program, which may raise anything
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f'config {_place(error, path)}: {type(error).__name__}: {reason}') from error
    import_custom(cfg, path)
    return cfg


def import_custom(cfg: Config, path: str) -> None:
    """Import the modules in ``custom_imports``, whose components the config names.

    Raises:
        ValueError: If one cannot be imported, with the reason, and ``allow_failed_imports`` is not set.
    """
    imports = cfg.get('custom_imports') or {}
    names = imports.get('imports') if isinstance(imports, dict) else imports
    for name in [names] if isinstance(names, str) else names or []:
        try:
            import_module(name)
        except Exception as error:
            if imports.get('allow_failed_imports') and isinstance(error, ImportError):
                warnings.warn(f'{name} failed to import and is ignored: {error}', stacklevel=2)
                continue
            is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
            where = f'Set PYTHONPATH to the folder that holds {name}.' if is_missing else _last_line(error)
            raise ValueError(f'config {path}: custom_imports.imports={name!r} cannot be imported: '
                             f'{type(error).__name__}: {error}. {where}') from error


def _last_line(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (frame.filename, frame.lineno)
    return 'It is at {}, line {}.'.format(*line)


def _check_file(path: str, children: Tuple[str, ...]) -> None:
    """Check the text of a config and of those that it inherits from; ``children`` are those that inherit from it."""
    path = osp.normpath(path)
    if path in children:
        circle = ' -> '.join(map(osp.relpath, [*children[children.index(path):], path]))
        raise ValueError(f'config {children[-1]}: its _base_ leads back to itself: {circle}.')
    for line, base in _bases(path):
        if '::' in base:  # of a package
            continue
        file = osp.join(osp.dirname(path), fill_in(base, path))
        if not osp.isfile(file):
            near = [other.name for other in Path(file).parent.glob('*.py')] if osp.isdir(osp.dirname(file)) else []
            raise FileNotFoundError(f'config {path}{line}: there is no file {osp.normpath(file)}, which its _base_ '
                                    f'names.{suggestion(osp.basename(file), near)}')
        _check_file(file, (*children, path))


def _bases(path: str) -> Iterator[Tuple[str, str]]:
    """Where and what files a config inherits from.

    Raises:
        ValueError: If the text is none of its kind.
    """
    suffix = osp.splitext(path)[1]
    if suffix not in SUFFIXES:
        raise ValueError(f'config {path}: a config is a file {", ".join(SUFFIXES)}.')
    try:
        text = Path(path).read_text(encoding='utf-8')
        if suffix != '.py':
            found = (json.loads(text) if suffix == '.json' else yaml.safe_load(text)).get('_base_') or []
            yield from (('', base) for base in ([found] if isinstance(found, str) else found))
            return
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f'config {path}, line {error.lineno}: {error.msg}: {(error.text or "").strip()!r}') from error
    except (ValueError, AttributeError, yaml.YAMLError, RecursionError, MemoryError) as error:
        raise ValueError(f'config {path}: it is no text of a {suffix} file: {" ".join(str(error).split())}') from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == '_base_':
            parts = node.value.elts if isinstance(node.value, (ast.List, ast.Tuple)) else [node.value]
            yield from ((f', line {part.lineno}', part.value) for part in parts
                        if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _place(error: Exception, path: str) -> str:
    """File and line of the config in which an error was raised; without a line where it was between the files."""
    files, places = [path], []
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == '_file2dict':  # which mmengine calls for each file
            files.append(frame.f_locals['filename'])
        elif frame.f_code.co_filename in files:
            places.append(f'{frame.f_code.co_filename}, line {line}')
    return places[-1] if places else files[-1]


def fill_in(text: str, path: str, escape: bool = False) -> str:
    """Text with mmengine's variables of a config's path in it.

    Args:
        text: The text.
        path: Of the config.
        escape: Whether the text is Python, where a quote would end the string that they stand in.
    """
    for name, of in VARIABLES.items():
        value = of(path).replace('\\', '/')
        value = re.sub(r'([\'"])', r'\\\1', value) if escape else value
        text = re.sub(rf'\{{\{{\s*{name}\s*\}}\}}', lambda _, value=value: value, text)
    return text


def _fill_in_file(filename: str, temp_config_name: str) -> None:
    text = Path(filename).read_text(encoding='utf-8')
    Path(temp_config_name).write_text(fill_in(text, filename, filename.endswith('.py')), encoding='utf-8')


# Importing this module replaces mmengine's, which does not escape: a quote in the path would be a syntax error in every
# config with a {{ fileDirname }}.
Config._substitute_predefined_vars = staticmethod(_fill_in_file)
