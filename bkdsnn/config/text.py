"""The config that mmengine writes into checkpoints as Python, read without running it."""
import ast

from mmengine.config import Config


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
