"""A resumed run whose config has changed: what differs takes effect, or is refused.

mmengine takes learning rates, weight decays and schedules from the checkpoint, whatever the config says.
"""
import copy
import logging
import warnings
from typing import Dict, List, Optional, Sequence

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from bkdsnn.config.differences import differences, training_settings
from bkdsnn.config.text import parse_config

# What a checkpoint holds of; all other settings are read from the config anyway.
OF_OPTIMIZER = ('optim_wrapper.optimizer', 'optim_wrapper.paramwise_cfg', 'optim_wrapper.constructor', 'auto_scale_lr',
                'param_scheduler', 'train_cfg.max_epochs', 'train_cfg.max_iters')
OF_SCALER = ('optim_wrapper.type', 'optim_wrapper.dtype', 'optim_wrapper.loss_scale')
NOT_SETTINGS = ('load_from', )
NEW_RUN = 'To start a new run from the weights alone, set load_from and do not resume.'


def changed_settings(runner: Runner, checkpoint: dict) -> Optional[Dict[str, List[str]]]:
    """By key, the value of each setting in the checkpoint and in the config, where they differ.

    ``None`` if the checkpoint does not say its settings.
    """
    try:
        then = parse_config(checkpoint['meta']['cfg'])
    except (KeyError, ValueError):
        return None
    changed = differences([training_settings(cfg) for cfg in (then, runner.cfg)])
    return {key: values for key, values in changed.items() if key not in NOT_SETTINGS}


def below(places: Sequence[str], changed: Optional[Dict[str, List[str]]]) -> List[str]:
    """Those of the changed keys that are, or are below, one of some places."""
    return [key for key in changed or () if any(f'{key}.'.startswith(f'{place}.') or place.startswith(f'{key}.')
                                                for place in places)]


def of_optimizer(changed: Optional[Dict[str, List[str]]]) -> List[str]:
    """Those of the changed keys that a checkpoint holds with the optimizer; also the rates of the layers of losses."""
    rates = [key for key in changed or () if key.startswith('model.losses.') and key.endswith('.lr_mult')]
    return below(OF_OPTIMIZER, changed) + rates


def check_changes(runner: Runner, checkpoint: dict, changed: Optional[Dict[str, List[str]]]) -> None:
    """Refuse what cannot change within a run.

    Raises:
        ValueError: For the first such setting, with both values.
    """
    for key, (then, now) in (changed or {}).items():
        if key in ('train_cfg.by_epoch', 'train_cfg.type', 'optim_wrapper.optimizer.type') or (
                key == 'randomness.seed' and runner.cfg.randomness.get('seed') is not None):
            raise ValueError(f'{key} was {then} when the checkpoint was saved and is {now} now, and cannot change '
                             f'within a run. {NEW_RUN}')
    unit = 'epoch' if isinstance(runner.train_loop, EpochBasedTrainLoop) else 'iter'
    done, end = checkpoint['meta'][unit], getattr(runner, f'max_{unit}s')
    if done > end:
        raise ValueError(f'the checkpoint is from after {unit} {done}, but train_cfg.max_{unit}s={end}. Train for '
                         'longer, or resume an earlier checkpoint.')


def take_optimizer_settings(runner: Runner, checkpoint: dict, changed: List[str]) -> None:
    """Have the run go on with the optimizer's settings and the schedules of the config.

    What the optimizer has learned, such as momentum, stays. Schedules are left at their beginning, for :func:`replay`.

    Args:
        runner: The runner, with optimizer and schedules as they are before the first step.
        checkpoint: Which is about to be loaded, and is changed.
        changed: Keys that differ, for errors.

    Raises:
        ValueError: If the optimizer has other parameters in its groups, or a schedule follows metrics.
    """
    wrapper, saved = runner.optim_wrapper, checkpoint.get('optimizer') or {}
    if not isinstance(wrapper, OptimWrapper):
        raise ValueError(f'{", ".join(changed)}: settings of several optimizers cannot change within a run. {NEW_RUN}')
    own, groups = wrapper.optimizer.param_groups, saved.get('param_groups', [])
    if [len(group['params']) for group in own] != [len(group['params']) for group in groups]:
        raise ValueError(f'{", ".join(changed)}: the optimizer of the checkpoint has its parameters in {len(groups)} '
                         f'groups and that of the config in {len(own)}, so that nothing says which is which. {NEW_RUN}')
    if any(getattr(schedule, 'need_val_args', False) for schedule in runner.param_schedulers or ()):
        raise ValueError(f'{", ".join(changed)}: with a schedule that follows the metrics (param_scheduler), it cannot '
                         f'change within a run. {NEW_RUN}')
    for group, settings in zip(groups, own):
        params = group['params']
        group.clear()
        group.update(settings, params=params)
    if 'base_param_settings' in saved:
        saved['base_param_settings'] = copy.deepcopy(wrapper.base_param_settings)
    checkpoint['param_schedulers'] = [schedule.state_dict() for schedule in runner.param_schedulers or ()]


def replay(schedules: List[_ParamScheduler], steps: int, epochs: int, steps_per_epoch: int) -> None:
    """Bring schedules from their beginning to where they are after some steps, as training does.

    Args:
        schedules: As they were built.
        steps: Steps that were done.
        epochs: Epochs that were ended.
        steps_per_epoch: Steps in an epoch.
    """
    by_step, by_epoch = ([one for one in schedules if one.by_epoch == kind] for kind in (False, True))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of a schedule that steps before the optimizer
        for step in range(1, steps + 1) if by_step else range(steps_per_epoch, steps + 1, steps_per_epoch):
            for schedule in by_step:
                schedule.step()
            if step % steps_per_epoch == 0 and step // steps_per_epoch <= epochs:
                for schedule in by_epoch:
                    schedule.step()


def say(changed: Optional[Dict[str, List[str]]]) -> None:
    """Log what differs."""
    if changed is None:
        print_log('The checkpoint does not say its settings; the optimizer and the schedules go on as it holds them.',
                  logger='current', level=logging.WARNING)
    for key, (then, now) in (changed or {}).items():
        print_log(f'Resumed with {key}={now}; it was {then} when the checkpoint was saved.', logger='current')
