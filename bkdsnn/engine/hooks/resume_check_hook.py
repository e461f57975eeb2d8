"""Does a resumed run go on as it began?"""
import time
from pathlib import Path
from typing import Optional

from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from bkdsnn.registry import HOOKS

from ..loops import ExactEpochLoop
from ..resumed_settings import (
    OF_SCALER,
    below,
    changed_settings,
    check_changes,
    of_optimizer,
    replay,
    say,
    take_optimizer_settings,
)
from .epoch_seed_hook import STATES

KEY = 'samples_per_update'
# Seconds in which a file has to show up on the other machines; NFS lets them know of new ones late.
PATIENCE = 60.0
WAY_OUT = ('Resume with as many processes and the same settings, or with batches that are as large in all processes '
           'together; to start a new run from the weights alone, set load_from and do not resume.')


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Holds a resumed run to what its checkpoint says.

    - Settings that have changed take effect and are logged. Learning rates and schedules are then those that a run with
      the new settings would have had from its beginning; momentum and what else an optimizer has learned stays. Refused
      is what cannot change: seed, kinds of optimizer and loop, fewer epochs than were done.
    - Refused is another number of steps in an epoch, or of samples in an update of the weights. Schedules that change
      by steps, and what a checkpoint holds of them, count on the former, the learning rate on the latter. Both stay if
      as many processes go on, or fewer with larger batches.
    - All processes take the checkpoint that the first one has found; refused is one that other machines do not see.
    - A checkpoint from inside an epoch needs :class:`bkdsnn.engine.ExactEpochLoop` and what ``EpochSeedHook`` has put
      into it.

    Raises:
        ValueError: Before the first step, with both values.
    """

    # Before CheckpointCheckHook, which holds the checkpoint to the run as it is then, and EMAHook, which changes it.
    priority = 'HIGH'
    # Whether schedules have to be brought from their beginning to where the run is.
    replays = False
    # Whose random states the checkpoint has, which are needed to go on inside an epoch.
    processes = 0

    def before_run(self, runner: Runner) -> None:
        if get_world_size() == 1:
            return
        chosen = [runner._resume, runner._load_from]
        broadcast_object_list(chosen)
        runner._resume, runner._load_from = chosen
        if not runner._resume:
            return
        lost = all_gather_object(None if _shows_up(runner._load_from) else get_rank())
        if lost := [rank for rank in lost if rank is not None]:
            raise ValueError(f'the run goes on from {runner._load_from!r}, which processes {lost} of '
                             f'{get_world_size()} do not find. All machines have to see one work_dir, under the same '
                             'path and from the same working directory.')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume or not isinstance(checkpoint.get('meta'), dict):
            return
        self.processes = len(checkpoint[STATES]) if STATES in checkpoint else 0
        changed = changed_settings(runner, checkpoint)
        say(changed)
        check_changes(runner, checkpoint, changed)
        optimizer = checkpoint.get('optimizer', {})
        # One that scales nothing, as that of bfloat16, has an empty state.
        if below(OF_SCALER, changed) or not optimizer.get('loss_scaler'):
            optimizer.pop('loss_scaler', None)
        if keys := of_optimizer(changed):
            take_optimizer_settings(runner, checkpoint, keys)
            self.replays = True

    def before_train(self, runner: Runner) -> None:
        if self.replays:
            replay(runner.param_schedulers or [], runner.iter, runner.epoch, len(runner.train_dataloader))
            rate = max(group['lr'] for group in runner.optim_wrapper.param_groups)
            print_log(f'The learning rate goes on at {rate:g}.', logger='current')
        self._check_steps(runner)
        self._check_samples(runner)

    def _check_steps(self, runner: Runner) -> None:
        loop, steps = runner.train_loop, len(runner.train_dataloader)
        inside = runner.iter - runner.epoch * steps
        if not isinstance(loop, EpochBasedTrainLoop) or not inside:
            return
        if not 0 < inside <= steps or not self.processes:
            then = f', {runner.iter / runner.epoch:g} in each' if runner.epoch else ''
            raise ValueError(f'the checkpoint is of {runner.iter} steps in {runner.epoch} epochs{then}, but this run '
                             f'has {steps} steps in an epoch ({_batches(runner)}), so its schedules would be off. '
                             f'{WAY_OUT}')
        if self.processes < get_world_size():
            raise ValueError('the checkpoint was saved inside an epoch and has the random states of as many processes '
                             f'as there were, {self.processes}, but now there are {get_world_size()}. Resume with no '
                             'more than those, or from the end of an epoch.')
        if not isinstance(loop, ExactEpochLoop):
            raise ValueError(f'the checkpoint was saved inside an epoch, after {inside} of {steps} steps, from where '
                             f'{type(loop).__name__} does not go on. Resume with tools/train.py, or with '
                             'train_cfg=dict(type="ExactEpochLoop", max_epochs=...).')
        print_log(f'{inside} of {steps} steps of epoch {runner.epoch + 1} are done; their batches are loaded again and '
                  'left out.', logger='current')

    @staticmethod
    def _check_samples(runner: Runner) -> None:
        accumulated = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        samples = get_world_size() * _batch_size(runner) * accumulated
        known = runner.message_hub.get_info(KEY, samples)
        if known != samples:
            raise ValueError(f'the checkpoint is of a run with {known} samples in an update of the weights, but this '
                             f'one has {samples} ({_batches(runner)} x optim_wrapper.accumulative_counts={accumulated}'
                             f'), so its learning rate would be off. {WAY_OUT}')
        # Goes into every checkpoint, and comes back from it before this is called.
        runner.message_hub.update_info(KEY, samples)


def _shows_up(path: Optional[str]) -> bool:
    """Whether there is a checkpoint, or none is looked for."""
    deadline = time.monotonic() + PATIENCE
    while not (found := path is None or '://' in path or Path(path).is_file()) and time.monotonic() < deadline:
        time.sleep(1)
    return found


def _batch_size(runner: Runner) -> int:
    loader = runner.train_dataloader
    return loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)


def _batches(runner: Runner) -> str:
    return f'{get_world_size()} x train_dataloader.batch_size={_batch_size(runner)}'
