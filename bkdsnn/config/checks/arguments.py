"""What a class or function takes: the names of its arguments, and what their values may be."""
import ast
import inspect
import numbers
import textwrap
import types
import typing
from collections import abc
from functools import cache
from types import SimpleNamespace
from typing import Any, Callable, Dict, NamedTuple, Tuple

from torch import Tensor

UNIONS = (typing.Union, getattr(types, 'UnionType', typing.Union))
# What values of the plain types are in a config, and how they are called, one and many.
PLAIN = {bool: bool, int: numbers.Integral, float: numbers.Real, numbers.Number: numbers.Real, str: str,
         type(None): type(None)}
WORDS = {bool: 'True or False', int: 'a whole number', float: 'a number', numbers.Number: 'a number', str: 'text',
         type(None): 'None', Tensor: 'a tensor'}
MANY = {int: 'whole numbers', float: 'numbers', numbers.Number: 'numbers', str: 'texts', dict: 'dicts'}
LISTS = (list, tuple, set, range)
# The modules whose declarations are taken at their word.
EXACT = ('bkdsnn.', 'torch.')
NO_TEXT = typing.Union[float, bool, list, dict, None]


class Argument(NamedTuple):
    """An argument of a class or function.

    Attributes:
        hint: The type it is declared to have, or that of its default; ``Any`` where neither says.
        default: ``inspect.Parameter.empty`` where it has to be given.
        exact: Whether the declaration is taken at its word.
    """

    hint: Any
    default: Any
    exact: bool = True

    def takes(self, value: Any) -> bool:
        """Whether a value is of the declared type, or the default."""
        return type(value) is type(self.default) and value == self.default or fits(value, self.hint, self.exact)

    @property
    def is_unknown(self) -> bool:
        """Whether nothing says what it takes."""
        return self.hint is Any

    def __str__(self) -> str:
        return in_words(self.hint)


ANYTHING = Argument(Any, None)


class Arguments(NamedTuple):
    """What can be handed to a class or function by name.

    Attributes:
        named: By name.
        takes_others: Whether it takes other names too, which it hands on to something else.
    """

    named: Dict[str, Argument]
    takes_others: bool


@cache
def arguments_of(found: Callable) -> Arguments:
    """The arguments of a class, whose ``**kwargs`` are followed up its bases, or of a function."""
    if not inspect.isclass(found):
        return Arguments(*_own(found))
    named: Dict[str, Argument] = {}
    takes_others = True
    for base in found.__mro__:
        if '__init__' not in base.__dict__ or not takes_others:
            continue
        if base is object or base.__module__ == 'torch.nn.modules.module':
            return Arguments(named, True)  # what came here was used on the way, or is refused
        own, takes_others = _own(base.__init__)
        named = {**own, **named}
        if takes_others and not _hands_on(base.__init__):
            above = found.__mro__[found.__mro__.index(base) + 1]
            return Arguments({**arguments_of(above).named, **named}, True)
    named.pop('self', None)
    return Arguments(named, takes_others)


def _own(function: Callable) -> Tuple[Dict[str, Argument], bool]:
    """Arguments by name, and whether there are ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    names, exact = getattr(function, '__globals__', {}), str(function.__module__).startswith(EXACT)
    named = {p.name: Argument(_hint_of(p, names), p.default, exact) for p in parameters
             if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _hands_on(init: Callable) -> bool:
    """Whether an ``__init__`` gives its ``**kwargs`` to that of the next class, and to nothing else."""
    name = inspect.getfullargspec(init).varkw
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))))
    except (OSError, TypeError, SyntaxError):  # of a class without source
        return False
    handed = [keyword.value for call in nodes if isinstance(call, ast.Call) and ast.unparse(call.func).endswith('.__init__')
              for keyword in call.keywords if keyword.arg is None]
    looked_into = [node.value for node in nodes if isinstance(node, (ast.Attribute, ast.Subscript))]
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    return any(use in handed for use in uses) and all(use in (*handed, *looked_into) for use in uses)


def _hint_of(parameter: inspect.Parameter, names: Dict[str, Any]) -> Any:
    """The declared type; without one, a switch where the default is one, and no text where it is a number."""
    if parameter.annotation is parameter.empty:
        is_number = isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)
        return NO_TEXT if is_number else bool if isinstance(parameter.default, bool) else Any
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=dict(it=parameter.annotation)), names)['it']
    except Exception:  # names that are not there when it runs
        return Any


def fits(value: Any, hint: Any, exact: bool = True) -> bool:
    """Whether a value of a config is of a declared type, as configs have it: lists for tuples, dicts for objects.

    Without ``exact``, what is often declared carelessly is let pass: fractions for whole numbers, lists for what is in
    them, and nothing for a dict or a list.
    """
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in UNIONS:
        return any(fits(value, part, exact) for part in parts)
    if kind is typing.Literal:
        return value in parts
    if not exact and isinstance(value, LISTS) and kind is not bool:
        return True
    if kind in PLAIN:
        kind = float if kind is int and not exact else kind
        return isinstance(value, PLAIN[kind]) and (kind is bool or not isinstance(value, bool))
    if not inspect.isclass(kind) or kind is Any or value is None and not exact:
        return True
    if issubclass(kind, abc.Mapping):
        return isinstance(value, abc.Mapping)
    if not _is_list(kind):  # an object, or what one is made of
        return value is not None and not isinstance(value, (numbers.Number, str) if _is_built(kind) else numbers.Number)
    if isinstance(value, str):
        return parts[:1] == (str, )
    parts = [part for part in parts if part is not Ellipsis]
    return isinstance(value, LISTS) and all(any(fits(item, part) for part in parts or [Any]) for item in value) or (
        not exact and not isinstance(value, bool))


def _is_built(kind: type) -> bool:
    """Whether it is a class whose objects no text stands for."""
    return kind.__module__.startswith(('torch.nn', 'torch.optim', 'torch.utils', 'mmengine')) or kind is Tensor


def _is_list(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, abc.Iterable) and kind.__module__ in ('builtins', 'collections.abc')


def in_words(hint: Any) -> str:
    """What a declared type is in a config."""
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in UNIONS:
        return ' or '.join(dict.fromkeys(map(in_words, parts)))
    if kind is typing.Literal:
        return f'one of {", ".join(map(repr, parts))}'
    if inspect.isclass(kind) and issubclass(kind, abc.Mapping):
        return 'a dict'
    if _is_list(kind):
        inner = MANY.get(parts[0] if parts else None)
        return f'a list of {inner}' if inner else 'a list'
    return WORDS.get(kind, getattr(kind, '__name__', str(kind)))
