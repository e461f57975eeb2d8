"""Does a resumed run go on as it began?"""
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from bkdsnn.registry import HOOKS

KEY = 'samples_per_update'
WAY_OUT = ('Resume with as many processes and the same settings, or with batches that are as large in all processes '
           'together; to start a new run from the weights alone, set load_from and do not resume.')


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Refuses to resume a run with another number of steps in an epoch, or of samples in an update of the weights.

    Schedules that change by steps, and what a checkpoint holds of them, count on the former, the learning rate on the
    latter. Both stay if as many processes go on, or fewer with larger batches.

    Raises:
        ValueError: Before the first step, with both numbers.
    """

    def before_train(self, runner: Runner) -> None:
        loader, processes = runner.train_dataloader, get_world_size()
        batch = loader.batch_size or getattr(loader.batch_sampler, 'batch_size', 1)
        accumulated = (runner.cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
        now = f'{processes} x train_dataloader.batch_size={batch}'
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.iter != runner.epoch * len(loader):
            then = f', {runner.iter / runner.epoch:g} in each' if runner.epoch else ''
            raise ValueError(f'the checkpoint is of {runner.iter} steps in {runner.epoch} epochs{then}, but this run '
                             f'has {len(loader)} steps in an epoch ({now}), so its schedules would be off. {WAY_OUT}')
        samples = processes * batch * accumulated
        known = runner.message_hub.get_info(KEY, samples)
        if known != samples:
            raise ValueError(f'the checkpoint is of a run with {known} samples in an update of the weights, but this '
                             f'one has {samples} ({now} x optim_wrapper.accumulative_counts={accumulated}), so its '
                             f'learning rate would be off. {WAY_OUT}')
        # Goes into every checkpoint, and comes back from it before this is called.
        runner.message_hub.update_info(KEY, samples)
