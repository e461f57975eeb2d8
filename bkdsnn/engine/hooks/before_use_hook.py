"""The moments at which weights are about to be used."""
from typing import Optional

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner


def saves_after_step(runner: Runner) -> bool:
    """Whether a checkpoint is saved after the step that is being done, as where they are saved by steps."""
    return any(hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
               or hook.save_last and hook.is_last_train_iter(runner)
               for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch)


class BeforeUseHook(Hook):
    """What is done to the trained network before it is validated or saved, by epoch or by step."""

    def before_use(self, runner: Runner, steps: int) -> None:
        """Do it now.

        Args:
            runner: The runner.
            steps: How many were done.
        """
        raise NotImplementedError

    def before_val_epoch(self, runner: Runner) -> None:
        self.before_use(runner, runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        self.before_use(runner, runner.iter)

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        if saves_after_step(runner):
            self.before_use(runner, runner.iter + 1)
