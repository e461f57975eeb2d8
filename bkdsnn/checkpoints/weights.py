"""State dicts held to the networks that they are for: names, shapes, kinds of numbers, and whether these are finite."""
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

STUDENT_PREFIX = 'student.'
# What DDP and torch.compile put into names.
WRAPPERS = re.compile(r'^(?:module\.)+|(?<![^.])_orig_mod\.')


def some_of(keys: Sequence[str], limit: int = 4) -> str:
    """The first few keys, and how many more there are."""
    more = f', and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more


def state_dict_in(checkpoint: dict) -> Dict[str, Any]:
    """All that a checkpoint holds of its model, under the names that the model has when nothing wraps it.

    Raises:
        ValueError: If something in it has no name, or the name of something else.
    """
    for key in ('state_dict', 'model', 'net'):
        if isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
            break
    return unwrapped(checkpoint)


def unwrapped(weights: Mapping[str, Any]) -> Dict[str, Any]:
    """A state dict without what DDP and ``torch.compile`` put into its names; raises as above."""
    found: Dict[str, Any] = {}
    for key, value in weights.items():
        if not isinstance(key, str):
            raise ValueError(f'{key!r} is no name of a weight')
        name = WRAPPERS.sub('', key)
        if name in found:
            raise ValueError(f'there are two {name!r}, one of them as {key!r}')
        found[name] = value
    return found


def weights_of(checkpoint: dict) -> Dict[str, Any]:
    """State dict of the network in a checkpoint; of a distillation run, the student's without the losses' parts."""
    weights = state_dict_in(checkpoint)
    if any(key.startswith(STUDENT_PREFIX) for key in weights):
        weights = {k.removeprefix(STUDENT_PREFIX): v for k, v in weights.items() if k.startswith(STUDENT_PREFIX)}
    return weights


def fit_weights(model: nn.Module, weights: Mapping[str, Any], label: str, way_out: str = '') -> None:
    """Load weights strictly; errors are those of :func:`matched`."""
    model.load_state_dict(matched(model.state_dict(), weights, type(model).__name__, label, way_out))


def matched(own: Mapping[str, Any], weights: Mapping[str, Any], name: str, label: str, way_out: str = ''
            ) -> Dict[str, Any]:
    """A state dict with the values of another one.

    Args:
        own: A model's, whose names and kinds of numbers are wanted.
        weights: As :func:`weights_of` or :func:`state_dict_in` give them.
        name: Of the model, for the error.
        label: What the weights are, for the error.
        way_out: How it ends.

    Raises:
        ValueError: If names, shapes or kinds of numbers are not the model's, or numbers are not finite; the message
            lists them.
    """
    names = {WRAPPERS.sub('', key): key for key in own}
    # What neurons say of themselves, which weights of other code do not have; where it is there, it is checked.
    weights = {**{plain: own[key] for plain, key in names.items() if key.endswith('_extra_state')}, **weights}
    way_out = f' {way_out}' if way_out else ''
    if not any(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f'{label} holds no weights.{way_out}')
    problems = [f'{what}: {some_of(sorted(keys))}' for what, keys in (
        ('missing keys', names.keys() - weights.keys()), ('unexpected keys', weights.keys() - names.keys())) if keys]
    for what, describe in (('other shapes', other_shape), ('other kinds of values', other_kind)):
        told = [f'{plain} ({found})' for plain, key in names.items()
                if plain in weights and (found := describe(own[key], weights[plain]))]
        problems += [f'{what}: {some_of(sorted(told))}'] if told else []
    if problems:
        raise ValueError(f'{label} does not fit the {name}: {"; ".join(problems)}.{way_out}')
    values = {key: as_own(own[key], weights[plain]) for plain, key in names.items()}
    # Some networks have infinite numbers of their own, as masks.
    if damaged := not_finite({key: value for key, value in values.items() if not not_finite({key: own[key]})}):
        raise ValueError(f'{label} has weights that are not finite: {some_of(damaged)}. Its training had '
                         f'diverged; take an earlier checkpoint.{way_out}')
    return values


def fitting(own: Mapping[str, Any], weights: Mapping[str, Any], label: str) -> Dict[str, Any]:
    """Of weights, those that have the name, shape and kind of one of a model's, in its precision.

    Raises:
        ValueError: If one is not finite.
    """
    values = {key: as_own(own[key], value) for key, value in weights.items() if key in own
              and not other_shape(own[key], value) and not other_kind(own[key], value)}
    if damaged := not_finite(values):
        raise ValueError(f'{label} has weights that are not finite: {some_of(damaged)}.')
    return values


def says(**keys: Iterable[str]) -> List[str]:
    """Lines about names of weights, by what happens to them; of those that there are."""
    return [f'{what.replace("_", " ")}: {some_of(sorted(names))}' for what, names in keys.items() if names]


def other_shape(own: Any, given: Any) -> Optional[str]:
    """In what the shapes of two tensors differ."""
    if isinstance(own, Tensor) and isinstance(given, Tensor) and own.shape != given.shape:
        return f'{tuple(given.shape)} in the file, {tuple(own.shape)} in the model'
    return None


def other_kind(own: Any, given: Any) -> Optional[str]:
    """Why a value cannot take the place of another one without loss, shape aside; precisions of floats may differ."""
    if not isinstance(own, Tensor):
        return None if type(own) is type(given) else f'a {type(given).__name__}'
    if not isinstance(given, Tensor):
        return f'{"text" if isinstance(given, str) else f"a {type(given).__name__}"} in the file'
    if given.layout != torch.strided or given.is_quantized or given.is_meta:
        return 'a tensor of another layout'
    if _kind(own) != _kind(given):
        return f'{_name(given)} in the file, {_name(own)} in the model'
    if not own.is_floating_point() and own.dtype != given.dtype and not torch.equal(
            given.to(own.dtype).to(given.dtype), given):
        return f'numbers beyond {_name(own)}'
    return None


def as_own(own: Any, given: Any) -> Any:
    """A value in the precision of the model's."""
    return given.to(own.dtype) if isinstance(own, Tensor) else given


def not_finite(tensors: Mapping[str, Any]) -> List[str]:
    """Names of tensors with numbers that are NaN or infinite."""
    return [name for name, fine in finite_by_name(tensors.items()) if not fine]


def finite_by_name(named: Iterable[Tuple[str, Any]]) -> List[Tuple[str, bool]]:
    """Whether all numbers of each tensor are finite; each device is read once. What holds no fractions is left out."""
    by_device: Dict[torch.device, list] = {}
    for name, value in named:
        if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()) and not value.is_meta:
            by_device.setdefault(value.device, []).append((name, value.detach()))
    found = []
    for tensors in by_device.values():
        fine = torch.stack([torch.isfinite(value).all() for _, value in tensors]).tolist()
        found += zip((name for name, _ in tensors), fine)
    return found


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool:
        return 'bool'
    return 'complex' if tensor.is_complex() else 'float' if tensor.is_floating_point() else 'int'


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')
