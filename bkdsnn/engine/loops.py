"""The loop over epochs, which can go on inside one."""
from mmengine.runner import EpochBasedTrainLoop

from bkdsnn.registry import LOOPS


@LOOPS.register_module()
class ExactEpochLoop(EpochBasedTrainLoop):
    """mmengine's, which goes on after the step where it was saved, where mmengine's begins the epoch again.

    Batches of the steps that are done are loaded and left out, since workers draw random numbers for each. Then hooks
    with a method ``after_done_steps(runner)`` are called, before anything is drawn for the next batch. Runs that
    ``tools/train.py`` trains by epoch have it.
    """

    def run_epoch(self) -> None:
        done = self._iter - self._epoch * len(self.dataloader)
        if not done:
            super().run_epoch()
            return
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = iter(self.dataloader)
        for _ in range(done):
            next(batches)
        self.runner.call_hook('after_done_steps')
        for idx, batch in enumerate(batches, done):
            self.run_iter(idx, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
