"""What a class or function takes: the names of its arguments, and what is declared of their values."""
import ast
import inspect
import textwrap
import typing
from functools import cache
from types import SimpleNamespace
from typing import Any, Callable, Dict, NamedTuple, Tuple

from .hints import fits, in_words

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
            break  # what came here was used on the way, or is refused
        own, takes_others = _own(base.__init__)
        named = {**own, **named}
        if takes_others and not _hands_on(base.__init__):
            above = found.__mro__[found.__mro__.index(base) + 1]
            named = {**arguments_of(above).named, **named}
            break
    named.pop('self', None)
    return Arguments(named, takes_others)


def _own(function: Callable) -> Tuple[Dict[str, Argument], bool]:
    """Arguments by name, and whether there are ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # of a function in C
        return {}, True
    names, exact = getattr(function, '__globals__', {}), str(function.__module__).startswith(EXACT)
    named = {p.name: Argument(_hint_of(p, names), p.default, exact) for p in parameters
             if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _hands_on(init: Callable) -> bool:
    """Whether an ``__init__`` gives its ``**kwargs`` to that of the next class, and to nothing else."""
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))))
    except (OSError, TypeError, SyntaxError):  # of a class without source
        return False
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('.__init__')]
    handed = [keyword.value for call in calls for keyword in call.keywords if keyword.arg is None]
    looked_into = [node.value for node in nodes if isinstance(node, (ast.Attribute, ast.Subscript))]
    name = inspect.getfullargspec(init).varkw
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    return any(use in handed for use in uses) and all(use in (*handed, *looked_into) for use in uses)


def _hint_of(parameter: inspect.Parameter, names: Dict[str, Any]) -> Any:
    """The declared type; without one, a switch where the default is one, and no text where it is a number."""
    if parameter.annotation is parameter.empty:
        if isinstance(parameter.default, bool):
            return bool
        return NO_TEXT if isinstance(parameter.default, (int, float)) else Any
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=dict(it=parameter.annotation)), names)['it']
    except Exception:  # names that are not there when it runs
        return Any
