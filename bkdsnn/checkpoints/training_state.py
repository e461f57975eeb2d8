"""What a checkpoint holds for a run to go on, beside weights: is it sound, and does it fit the run?

mmengine and PyTorch take it as it comes: a schedule without its numbers is a schedule that starts again.
"""
import math
from contextlib import nullcontext
from numbers import Number
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple

from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from .weights import not_finite, some_of

HUB = ('log_scalars', 'runtime_info', 'resumed_keys')
# Whose state of a parameter has other shapes than the parameter.
FACTORED = ('Adafactor', 'LBFGS')
# What an optimizer that has a state is told.
REMEMBERING = ('momentum', 'betas', 'alpha', 'rho')
# What a schedule that follows a metric remembers of it; before the first, it is a whole number.
METRIC = 'best'
WAY_OUT = 'Resume from another checkpoint; to start a new run from its weights, set load_from and do not resume.'


def check_training_state(checkpoint: dict, label: str) -> None:
    """Check what can be said without a run: counters, message hub, and that numbers are finite.

    Args:
        checkpoint: Of a run.
        label: What it is, for the error.

    Raises:
        ValueError: If it is not as mmengine writes it; the message names the key.
    """
    problem = (_meta_problem(checkpoint['meta']) or _hub_problem(checkpoint.get('message_hub'))
               or _optimizer_problem(checkpoint['optimizer'])
               or _schedulers_problem(checkpoint.get('param_schedulers', [])))
    if problem:
        raise ValueError(f'{label} has no sound training state: {problem}. {WAY_OUT}')


def check_fits_run(checkpoint: dict, wrapper: OptimWrapper, schedulers: Optional[Sequence[Any]], model: nn.Module,
                   label: str) -> List[str]:
    """Check a training state against the optimizer and schedules of the run that it is for.

    Switches of the optimizer that it does not have, as another release of PyTorch wrote it, become those of the run.

    Args:
        checkpoint: One that :func:`check_training_state` has let pass.
        wrapper: The run's.
        schedulers: The run's.
        model: The run's, for the names of parameters.
        label: As there.

    Returns:
        Names of parameters of which the optimizer has no state, though it has one of others.

    Raises:
        ValueError: If it is another optimizer's, or of other schedules; the message names the key.
    """
    # A state that processes share out is nowhere whole now.
    with getattr(getattr(wrapper, 'optimizer', None), 'own_part', nullcontext)():
        own, given = wrapper.state_dict(), checkpoint['optimizer']
    if 'param_groups' not in own or isinstance(schedulers, dict):  # several optimizers
        return []
    problem = (_parts_misfit(own, given) or _groups_misfit(own['param_groups'], given['param_groups'])
               or _state_misfit(wrapper.optimizer, given['state'])
               or _schedulers_misfit(list(schedulers or []), checkpoint.get('param_schedulers') or []))
    if problem:
        raise ValueError(f'{label} has the training state of another run: {problem}. {WAY_OUT}')
    for group, other in zip(own['param_groups'], given['param_groups']):
        _take_switches(group, other)
    return _without_state(wrapper.optimizer, checkpoint, model)


def _meta_problem(meta: dict) -> Optional[str]:
    for key in ('epoch', 'iter'):
        if not _is_count(meta.get(key)):
            return f'meta.{key}={meta.get(key)!r} is no number of {key}s'
    if meta.get('seed') is not None and not _is_count(meta['seed']):
        return f'meta.seed={meta["seed"]!r} is no seed'
    return None


def _hub_problem(hub: Any) -> Optional[str]:
    if not isinstance(hub, dict) or not all(isinstance(hub.get(key), dict) for key in HUB):
        return f'message_hub has no dicts {", ".join(HUB)}'
    for key, value in hub['log_scalars'].items():
        if not isinstance(key, str) or not isinstance(value, HistoryBuffer):
            return f'message_hub.log_scalars.{key} is no history of numbers'
    for key, value in hub['resumed_keys'].items():
        if not isinstance(value, bool):
            return f'message_hub.resumed_keys.{key}={value!r} is not True or False'
    info = hub['runtime_info']
    if not all(isinstance(key, str) for key in info):
        return 'message_hub.runtime_info has keys without names'
    kept = info.get('keep_ckpt_ids', [])
    if not isinstance(kept, list) or not all(map(_is_count, kept)):
        return f'message_hub.runtime_info.keep_ckpt_ids={kept!r} are no numbers of checkpoints'
    return None


def _optimizer_problem(state: Any) -> Optional[str]:
    if not isinstance(state, dict):
        return f'optimizer is a {type(state).__name__}, not a dict'
    damaged = not_finite(dict(_leaves(state, 'optimizer')))
    numbers = [path for path, value in _leaves(state, 'optimizer') if isinstance(value, float) and math.isnan(value)]
    return f'{some_of(damaged + numbers)} not finite' if damaged or numbers else None


def _schedulers_problem(states: Any) -> Optional[str]:
    if not isinstance(states, (list, dict)):
        return f'param_schedulers is a {type(states).__name__}, not a list'
    numbers = [path for path, value in _leaves(states, 'param_schedulers')
               if isinstance(value, float) and math.isnan(value)]
    return f'{some_of(numbers)} not finite' if numbers else None


def _parts_misfit(own: dict, given: dict) -> Optional[str]:
    # Mixed precision may be switched on and off.
    missing, unknown = ((a.keys() - b.keys()) - {'loss_scaler'} for a, b in ((own, given), (given, own)))
    if missing or unknown:
        return _lacks_and_has('optimizer', missing, unknown)
    for key in ('base_param_settings', 'loss_scaler'):
        place = f'optimizer.{key}'
        # A scaler that scales nothing, as that of bfloat16, has an empty state.
        if own.get(key) and (key != 'loss_scaler' or given.get(key)):
            if not isinstance(given[key], dict):
                return f'{place} is a {type(given[key]).__name__}'
            if problem := _group_misfit(own[key], given[key], place):
                return problem
    return None


def _lacks_and_has(place: str, missing: Iterable[Any], unknown: Iterable[Any]) -> str:
    return f'{place} ' + ' and '.join(f'{verb} {", ".join(sorted(map(str, keys)))}'
                                      for verb, keys in (('lacks', missing), ('has', unknown)) if keys)


def _groups_misfit(own: List[dict], given: Any) -> Optional[str]:
    if not isinstance(given, list) or not all(isinstance(group, dict) for group in given):
        return 'optimizer.param_groups is no list of dicts'
    sizes = [[len(group['params']) for group in own],
             [len(group['params']) if isinstance(group.get('params'), list) else None for group in given]]
    if sizes[0] != sizes[1]:
        return (f'its optimizer has {len(given)} groups of {_shown(sizes[1])} parameters, this run '
                f'{len(own)} of {_shown(sizes[0])}')
    problems = (_group_misfit(group, other, f'optimizer.param_groups[{i}]')
                for i, (group, other) in enumerate(zip(own, given)))
    return next(filter(None, problems), None)


def _group_misfit(own: dict, given: dict, place: str) -> Optional[str]:
    # Switches come and go with releases of PyTorch.
    missing = [key for key in own.keys() - given.keys() if not _is_switch(own[key])]
    unknown = [key for key in given.keys() - own.keys() if not _is_switch(given[key])]
    if missing or unknown:
        return _lacks_and_has(place, missing, unknown)
    for key in sorted(own.keys() & given.keys()):
        if not _same_kind(own[key], given[key]):
            return f'{place}.{key}={given[key]!r} is not of the kind of {own[key]!r}'
    return None


def _take_switches(own: dict, given: dict) -> None:
    for key in given.keys() - own.keys():
        del given[key]
    given.update({key: own[key] for key in own.keys() - given.keys()})


def _state_misfit(optimizer: Any, given: Any) -> Optional[str]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    if not isinstance(given, dict) or not all(isinstance(state, dict) for state in given.values()):
        return 'optimizer.state is no dict of dicts'
    unknown = [key for key in given if not (_is_count(key) and key < len(parameters))]
    if unknown:
        return f'optimizer.state has {unknown[0]!r}, which is no number of a parameter'
    kind = type(optimizer)
    if not kind.__module__.startswith('torch.optim') or kind.__name__ in FACTORED:
        return None
    names = {key for state in given.values() for key in state}
    for number, state in given.items():
        if state and (missing := sorted(map(str, names - state.keys()))):
            return f'optimizer.state[{number}] lacks {", ".join(missing)}, which others have'
        for key, value in state.items():
            place = f'optimizer.state[{number}].{key}'
            if isinstance(value, Tensor):
                if value.numel() != 1 and value.shape != parameters[number].shape:
                    return f'{place} has shape {tuple(value.shape)}, its parameter {tuple(parameters[number].shape)}'
                if not value.is_floating_point():
                    return f'{place} is {str(value.dtype).removeprefix("torch.")}'
            elif value is not None and not isinstance(value, Number):
                return f'{place} is a {type(value).__name__}'
    return None


def _schedulers_misfit(own: List[Any], given: Any) -> Optional[str]:
    if not isinstance(given, list) or not all(isinstance(state, dict) for state in given):
        return 'param_schedulers is no list of dicts' if own else None
    if len(own) != len(given):
        return f'it has {len(given)} param_schedulers, this run {len(own)}'
    for i, (scheduler, state) in enumerate(zip(own, given)):
        wanted, name = scheduler.state_dict(), type(scheduler).__name__
        if wanted.keys() != state.keys():
            odd = sorted(map(str, wanted.keys() ^ state.keys()))
            return f'param_schedulers[{i}] is not the state of a {name}, which differs in {some_of(odd)}'
        for key, value in wanted.items():
            if not _same_kind(float(value) if key == METRIC else value, state[key]):
                return f'param_schedulers[{i}].{key}={state[key]!r} is not of the kind of {value!r} ({name})'
    return None


def _without_state(optimizer: Any, checkpoint: dict, model: nn.Module) -> List[str]:
    state = checkpoint['optimizer'].get('state', {})
    remembers = any(state.values()) or any(group.get(key) for group in optimizer.param_groups for key in REMEMBERING)
    if not remembers or not checkpoint['meta']['iter']:
        return []
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    return [names.get(id(parameter), str(number)) for number, parameter in enumerate(parameters)
            if not state.get(number) and parameter.requires_grad]


def _same_kind(own: Any, given: Any) -> bool:
    """Whether one value may take the place of another one: numbers for numbers, as many where there are several."""
    if isinstance(own, bool):
        return isinstance(given, bool)
    if own is None:
        return _is_switch(given)
    if isinstance(own, int):
        return isinstance(given, int) and not isinstance(given, bool)
    if isinstance(own, Number):
        number = given.item() if isinstance(given, Tensor) and given.numel() == 1 else given
        return isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    if isinstance(own, (list, tuple)):
        return isinstance(given, (list, tuple)) and len(own) == len(given) and all(map(_same_kind, own, given))
    return isinstance(given, type(own))


def _leaves(value: Any, path: str) -> Iterator[Tuple[str, Any]]:
    """Tensors and other ends of nested containers, with their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _leaves(item, f'{path}[{i}]')
    else:
        yield path, value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_switch(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _shown(sizes: list) -> str:
    return ' + '.join(map(str, sizes[:4])) + (' + ...' if len(sizes) > 4 else '')
