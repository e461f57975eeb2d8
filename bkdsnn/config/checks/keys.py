"""Keys that nothing reads, and keys that have to be there."""
from bkdsnn.utils.names import near_miss, suggestion

from .parts import Part

# What may stand in every dict.
ALWAYS = ('type', '_scope_')


def check_keys(part: Part) -> None:
    """Check the keys of a dict against what takes them.

    Raises:
        ValueError: For the first key that is not taken, with the nearest one that is, or that is missing.
    """
    known = part.arguments.named
    for key in part.node:
        if key in known or key in ALWAYS:
            continue
        if not part.path:
            _check_top(key, known)
        elif key == '_delete_':
            raise ValueError(f'{part.at(key)}: no file of _base_ has {part.path}, so there is nothing to delete. Drop '
                             'the key.')
        elif not part.arguments.takes_others or near_miss(str(key), known):
            what = 'a setting' if part.found is None else 'an argument'
            raise ValueError(f'{part.at(key)} is not {what} of {part.name}.{suggestion(str(key), known)} It takes: '
                             f'{", ".join(sorted(known))}.')
    for key in part.place.needs:
        if part.node.get(key) is None:
            raise ValueError(f'{part.at(key)} is missing.')


def _check_top(key: str, known) -> None:
    near = near_miss(key, known)
    if near:
        raise ValueError(f'nothing reads {key!r} at the top of the config. Did you mean {near!r}? If it is a variable '
                         'of your own, give it a name that is less like it.')
