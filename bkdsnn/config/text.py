"""Configs as text: written without making them pretty, and read without running them."""
import ast
import contextlib
from typing import Iterator
from unittest import mock

from mmengine.config import Config
from mmengine.config import config as mmengine_config
from yapf.yapflib import yapf_api


@contextlib.contextmanager
def plain_config_text() -> Iterator[None]:
    """Inside, configs are written as valid Python on long lines.

    A run writes its config half a dozen times, and yapf takes a third of a second for each: longer than a small run.
    """
    with contextlib.ExitStack() as stack:
        # Some versions of mmengine import it when they are imported, others when they write.
        for place in (yapf_api, mmengine_config):
            if hasattr(place, 'FormatCode'):
                stack.enter_context(mock.patch.object(place, 'FormatCode', lambda text, **style: (text + '\n', True)))
        yield


def parse_config(text: str) -> Config:
    """The config in ``meta.cfg``: assignments of numbers, text, lists, tuples and dicts, as ``Config.pretty_text`` has.

    Raises:
        ValueError: If it holds anything else; the message says in which line.
    """
    values = {}
    for statement in _parse(text).body:
        try:
            (target, ) = statement.targets
            values[target.id] = ast.literal_eval(_DictCalls().visit(statement.value))
        except (AttributeError, ValueError, TypeError, RecursionError) as error:
            line = text.splitlines()[statement.lineno - 1]
            raise ValueError(f'line {statement.lineno} is more than a name and its value: {line[:80]!r}') from error
    return Config(values)


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f'it is no config: {error}') from error


class _DictCalls(ast.NodeTransformer):
    """Writes ``dict(a=1)`` as ``{'a': 1}``, which ``ast.literal_eval`` reads."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args
                and all(keyword.arg for keyword in node.keywords)):
            return node
        return ast.Dict([ast.Constant(keyword.arg) for keyword in node.keywords],
                        [keyword.value for keyword in node.keywords])
