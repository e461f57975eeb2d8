"""Arguments that backbones share, checked in one way."""
from typing import Dict, Optional, Sequence, Tuple, Union


def parse_arch(owner: str, arch: Union[str, int, dict], settings: Dict[Union[str, int], dict],
               optional: Sequence[str] = ()) -> dict:
    """The settings that ``arch`` names, or ``arch`` itself if it is a dict with the same keys.

    Args:
        owner: Class name, for the error.
        arch: Key of ``settings``, or a dict.
        settings: The backbone's arch table.
        optional: Keys that a dict may leave out.

    Raises:
        ValueError: If the name is unknown, or the dict's keys are not those of the table.
    """
    if not isinstance(arch, dict):
        if arch not in settings:
            example = next(iter(settings.values()))
            raise ValueError(f'{owner}: arch={arch!r} is unknown; choose from {list(settings)} or give a dict such as '
                             f'{example}.')
        return settings[arch]
    example = next(iter(settings.values()))
    needed = set().union(*settings.values())
    if not needed - set(optional) <= set(arch) <= needed:
        raise ValueError(f'{owner}: arch={dict(arch)} needs the keys {sorted(needed - set(optional))}' +
                         (f' and may have {sorted(optional)}' if optional else '') + f', such as {example}.')
    return arch


def check_time_steps(owner: str, T: int, neuron: dict) -> None:
    """Raise ValueError unless ``T`` is a positive number of time steps, and that of neurons with weights for each."""
    if not isinstance(T, int) or T < 1:
        raise ValueError(f'{owner}: T={T} must be at least 1 time step (model.backbone.T).')
    if neuron.get('T', T) != T:
        raise ValueError(f'{owner}: T={T}, but {neuron["type"]} has weights for T={neuron["T"]} time steps '
                         '(model.backbone.neuron.T). Make them equal; of event frames, both are their number.')


def parse_out_indices(owner: str, indices: Optional[Sequence[int]], count: int) -> Tuple[int, ...]:
    """Check ``out_indices`` of a backbone with ``count`` stages; ``None`` is the last one.

    Raises:
        ValueError: If they are not ascending numbers of stages.
    """
    indices = (count - 1, ) if indices is None else indices
    ascending = isinstance(indices, (tuple, list)) and list(indices) == sorted(set(indices))
    if not ascending or not indices or not 0 <= indices[0] <= indices[-1] < count:
        raise ValueError(f'{owner}: out_indices={indices} must be ascending numbers of stages from 0 to {count - 1}, '
                         f'such as ({count - 1}, ).')
    return tuple(indices)
