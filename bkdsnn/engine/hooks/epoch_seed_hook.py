"""Random numbers that depend on the seed and the epoch alone."""
import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner, set_random_seed

from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds all generators at the start of every epoch, so that a resumed run continues bit for bit.

    Blur masks, batch augmentations, the order of samples and the data pipeline's draws in an epoch are functions of
    (seed, epoch), whatever ran before. Workers are seeded by PyTorch from the main process in each epoch; without this
    hook mmengine gives them the same seed every epoch.

    Raises:
        ValueError: If ``train_dataloader.persistent_workers`` is set, as such workers keep generators of their own.
    """

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        if loader.num_workers and loader.persistent_workers:
            raise ValueError('train_dataloader.persistent_workers=True keeps random states that no checkpoint holds, '
                             'so a resumed run would differ. Set it to False, or drop EpochSeedHook from custom_hooks.')
        loader.worker_init_fn = None
        if not self._differs_by_rank(runner) and hasattr(loader.sampler, 'seed'):
            # A resumed run has its seed from the checkpoint, after the sampler was built.
            loader.sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        seed = int(np.random.SeedSequence([runner.seed, runner.epoch]).generate_state(1)[0]) // 2
        set_random_seed(seed, diff_rank_seed=self._differs_by_rank(runner))

    @staticmethod
    def _differs_by_rank(runner: Runner) -> bool:
        return runner.cfg.get('randomness', {}).get('diff_rank_seed', False)
