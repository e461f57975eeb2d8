"""Weights to start a new run from: those of a network, whole, into it or into the distiller around it."""
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from torch import nn

from ..utils.names import suggestion
from .weights import STUDENT_PREFIX, fitting, matched, says, some_of, weights_of

NEW = 'default_hooks.checkpoint_check.new'
WAY_OUT = ('It must be of the same network, plain or as the student of a distillation; a teacher belongs to '
           f"model.teacher.checkpoint. Parts that shall start anew, as a head for other classes, are named by {NEW}="
           "['head'].")


def start_from(model: nn.Module, weights: Mapping[str, Any], label: str, new: Sequence[str] = ()
               ) -> Tuple[Dict[str, Any], List[str]]:
    """The state dict of a model with the weights of a checkpoint, all of those of its network.

    Args:
        model: A network, or a distiller with its ``student``; it is not changed.
        weights: All that the checkpoint holds of its model, see :func:`bkdsnn.checkpoints.weights.state_dict_in`.
        label: What the checkpoint is, for the error.
        new: Parts of the network that keep the values they have in ``model``, as ``['head']``.

    Returns:
        The state dict, and lines about what started anew and what was left out.

    Raises:
        ValueError: If the rest does not fit, or the network has no such part.
    """
    own, prefix = model.state_dict(), ''
    if any(key.startswith(STUDENT_PREFIX) for key in own):
        prefix = STUDENT_PREFIX
    network = {key.removeprefix(prefix): value for key, value in own.items() if key.startswith(prefix)}
    kept = _kept(new, network)
    wanted = {key: value for key, value in network.items() if key not in kept}
    given = {key: value for key, value in weights_of(weights).items() if not _is_below(key, new)}
    found = matched(wanted, given, type(getattr(model, 'student', model)).__name__, label, WAY_OUT)
    besides = {key: value for key, value in own.items() if not key.startswith(prefix or key)}
    others = _besides_student(weights)
    found_besides = fitting(besides, others, label)
    lines = says(these_start_anew=_parts(besides.keys() - found_besides.keys()) + kept,
                 these_are_left_out=_parts(others.keys() - found_besides.keys()))
    return {**own, **{prefix + key: value for key, value in found.items()}, **found_besides}, lines


def _besides_student(weights: Mapping[str, Any]) -> Dict[str, Any]:
    """What a distillation's checkpoint holds beside the student's weights; nothing of another one's."""
    if not any(key.startswith(STUDENT_PREFIX) for key in weights):
        return {}
    return {key: value for key, value in weights.items() if not key.startswith(STUDENT_PREFIX)}


def _kept(new: Sequence[str], network: Mapping[str, Any]) -> List[str]:
    for part in new:
        if not any(_is_below(key, [part]) for key in network):
            raise ValueError(f'{NEW}: the network has no weights in {part!r}.'
                             f'{suggestion(part, _parts(network, 1))} Its parts are such as '
                             f'{some_of(_parts(network, 2))}.')
    return sorted(key for key in network if _is_below(key, new))


def _is_below(key: str, parts: Sequence[str]) -> bool:
    return any(key == part or key.startswith(f'{part}.') for part in parts)


def _parts(keys: Iterable[str], depth: int = 2) -> List[str]:
    """The first names of paths, each once."""
    return sorted({'.'.join(key.split('.')[:depth]) for key in keys})
