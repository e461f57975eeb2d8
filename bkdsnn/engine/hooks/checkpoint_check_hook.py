"""Does a run load what it should?"""
from typing import Any, Dict, Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from bkdsnn.checkpoints.classes import check_classes, classes_in, difference
from bkdsnn.checkpoints.starting import start_from
from bkdsnn.checkpoints.training_state import check_fits_run, check_training_state
from bkdsnn.checkpoints.weights import matched, some_of, state_dict_in, unwrapped
from bkdsnn.registry import HOOKS

from .sync_buffers_hook import averages_of

DATASET = 'train_dataloader.dataset'
WAY_OUT = ('A run goes on with the model and losses it began with; to start a new run from the weights alone, set '
           'load_from and do not resume.')


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Holds what a run loads to its model, before the first step.

    ``--resume`` takes a checkpoint with the weights, averages, optimizer, schedules and classes of this very run, and
    nothing else. ``load_from`` takes all weights of the network, plain or a distillation's student, into either. What
    a distiller has beside its student is taken where it is there and fits; what starts anew and what is left out is
    said in one line.

    Args:
        new: Parts of the network that start anew in spite of ``load_from``, as ``['head']`` for other classes.

    Raises:
        ValueError: If a checkpoint does not fit; the message lists the weights, or names the key.
    """

    # Before EMAHook takes its part of a checkpoint.
    priority = 'ABOVE_NORMAL'

    def __init__(self, new: Sequence[str] = ()) -> None:
        self.new = [new] if isinstance(new, str) else list(new)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        label = f'checkpoint {runner._load_from!r}' if runner._load_from else 'the checkpoint'
        try:
            weights = state_dict_in(checkpoint)
        except ValueError as error:
            raise ValueError(f'{label} holds no weights: {error}.') from error
        if runner._resume:
            check_resumed(runner, model, checkpoint, weights, label)
            return
        checkpoint['state_dict'], lines = start_from(model, weights, label, self.new)
        ours, theirs = classes_in(known_classes(checkpoint), label), classes_in(trained_on(runner), DATASET)
        if ours and theirs and ours != theirs and not self.new:
            lines.append(f'it and {DATASET} {difference(ours, theirs)}')
        if lines:
            print_log(f'load_from: of {label}, {"; ".join(lines)}.', logger='current')


def check_resumed(runner: Runner, model: nn.Module, checkpoint: dict, weights: Dict[str, Any], label: str) -> None:
    """Hold a checkpoint to the run that shall go on from it, and give its weights the names that the model has."""
    if 'optimizer' not in checkpoint or 'epoch' not in checkpoint.get('meta', {}):
        raise ValueError(f'{label} holds no training state (optimizer, epoch). {WAY_OUT}')
    checkpoint['state_dict'] = matched(model.state_dict(), weights, type(model).__name__, label, WAY_OUT)
    if 'ema_state_dict' in checkpoint:
        averages = averages_of(runner)
        if not averages:
            raise ValueError(f'{label} has averaged weights, but this run has no EMAHook in custom_hooks. {WAY_OUT}')
        checkpoint['ema_state_dict'] = _matched_average(averages[0], checkpoint['ema_state_dict'], label)
    check_training_state(checkpoint, label)
    check_classes(known_classes(checkpoint), trained_on(runner), label, DATASET)
    anew = check_fits_run(checkpoint, runner.optim_wrapper, runner.param_schedulers, model, label)
    if anew:
        print_log(f'resume: {label} has no state of the optimizer for {some_of(anew)}; it starts anew there.',
                  logger='current')


def _matched_average(model: nn.Module, average: Any, label: str) -> Dict[str, Any]:
    if not isinstance(average, dict):
        raise ValueError(f'{label} holds no averaged weights: ema_state_dict is a {type(average).__name__}.')
    try:
        average = unwrapped(average)
    except ValueError as error:
        raise ValueError(f'{label} holds no averaged weights: {error}.') from error
    return matched(model.state_dict(), average, type(model).__name__, f'the average in {label}', WAY_OUT)


def known_classes(checkpoint: dict) -> Any:
    """What a checkpoint says of its data set."""
    return checkpoint.get('meta', {}).get('dataset_meta')


def trained_on(runner: Runner) -> Any:
    """What the data set of a run says of itself."""
    loop = runner._train_loop  # of a test, it is not built
    return getattr(loop.dataloader.dataset, 'metainfo', None) if isinstance(loop, BaseLoop) else None
