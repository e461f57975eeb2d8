"""Random numbers that depend on the seed, the epoch and the process alone."""
import random
from functools import partial

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from bkdsnn.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds all generators at the start of every epoch, so that a resumed run continues bit for bit.

    Blur masks, batch augmentations, the order of samples and the data pipeline's draws in an epoch are functions of
    (seed, epoch), whatever ran before. Processes share PyTorch's generator, from which the blur masks of the whole
    batch are drawn, and differ in Python's and NumPy's, from which pipelines draw. Workers get new seeds each epoch;
    without this hook mmengine gives them the same ones.

    Raises:
        ValueError: If ``train_dataloader.persistent_workers`` is set, as such workers keep generators of their own, or
            if training is not by epoch.
    """

    def before_train(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError('EpochSeedHook makes runs by epoch resume exactly, but train_cfg.by_epoch is False. Set '
                             'it to True, or drop EpochSeedHook from custom_hooks.')
        loader = runner.train_dataloader
        if loader.num_workers and loader.persistent_workers:
            raise ValueError('train_dataloader.persistent_workers=True keeps random states that no checkpoint holds, '
                             'so a resumed run would differ. Set it to False, or drop EpochSeedHook from custom_hooks.')
        loader.worker_init_fn = partial(seed_worker, rank=get_rank())
        if not self._differs_by_rank(runner) and hasattr(loader.sampler, 'seed'):
            # A resumed run has its seed from the checkpoint, after the sampler was built.
            loader.sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        seed = int(np.random.SeedSequence([runner.seed, runner.epoch]).generate_state(1)[0]) // 2
        set_random_seed(seed, diff_rank_seed=self._differs_by_rank(runner))
        if get_rank() > 0:
            _seed_numpy_and_python(seed, get_rank())

    @staticmethod
    def _differs_by_rank(runner: Runner) -> bool:
        return runner.cfg.get('randomness', {}).get('diff_rank_seed', False)


def seed_worker(worker_id: int, rank: int) -> None:
    """Seed a worker of a data loader: PyTorch has given it a seed of the epoch, which all processes share."""
    _seed_numpy_and_python(torch.initial_seed(), rank)
    torch.manual_seed(torch.initial_seed() + 1_000_003 * rank)


def _seed_numpy_and_python(seed: int, rank: int) -> None:
    own = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    random.seed(own)
    np.random.seed(own)
