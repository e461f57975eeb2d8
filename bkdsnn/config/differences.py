"""In which settings configs differ."""
import inspect
from typing import Any, Dict, List, Mapping, Sequence

from mmengine.config import Config
from mmengine.runner import Runner

# What the runner is given but does not change a training.
ELSEWHERE = ('self', 'work_dir', 'launcher', 'resume', 'experiment_name', 'cfg', 'visualizer', 'log_level',
             'default_scope', 'env_cfg')
ABSENT = '–'


def training_settings(config: Config) -> Dict[str, Any]:
    """What the runner reads of a config, without the variables that a config file builds it from."""
    config = config.to_dict()
    known = [name for name in inspect.signature(Runner).parameters if name not in ELSEWHERE]
    return {name: config[name] for name in known if config.get(name) is not None}


def differences(configs: Sequence[Mapping[str, Any]]) -> Dict[str, List[str]]:
    """Settings that are not the same everywhere.

    Args:
        configs: Settings as :func:`training_settings` gives them.

    Returns:
        By key, such as ``'optim_wrapper.optimizer.lr'``, the values in the order of ``configs``. A component that one
        lacks is one line, ``'–'`` where it is lacking.
    """
    rows: Dict[str, List[str]] = {}
    _compare('', list(configs), rows)
    return rows


def _compare(key: str, values: List[Any], rows: Dict[str, List[str]]) -> None:
    if all(value == values[0] for value in values):
        return
    known = [value for value in values if value is not None]
    whole = len(known) < len(values) and any('type' in value for value in known if isinstance(value, Mapping))
    if whole or not all(isinstance(value, Mapping) for value in known):
        rows[key] = [ABSENT if value is None else describe(value) for value in values]
        return
    for name in dict.fromkeys(name for value in known for name in value):
        _compare(f'{key}.{name}' if key else name, [(value or {}).get(name) for value in values], rows)


def describe(value: Any) -> str:
    """A setting in one line: a component as a call, a list of components as a chain of calls."""
    if isinstance(value, Mapping):
        name = value.get('type', 'dict')
        arguments = ', '.join(f'{key}={describe(part)}' for key, part in value.items() if key != 'type')
        return f'{getattr(name, "__name__", name)}({arguments})'
    if isinstance(value, Sequence) and not isinstance(value, str):
        chain = any(isinstance(part, Mapping) for part in value)
        inside = (', then ' if chain else ', ').join(map(describe, value))
        return inside if chain else f'[{inside}]'
    return f'{value:g}' if isinstance(value, float) else str(value)
