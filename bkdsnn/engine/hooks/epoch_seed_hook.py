"""Random numbers that depend on the seed, the epoch and the process alone."""
import random
from functools import partial
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, worker_init_fn
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from bkdsnn.datasets.draws import SeededAugment, SeededSamples, check_draws
from bkdsnn.registry import HOOKS

from .before_use_hook import saves_after_step

# Key in checkpoints that are saved inside an epoch.
STATES = 'random_states'


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds all generators at the start of every epoch, so that a resumed run continues bit for bit.

    Blur masks, batch augmentations, the order of samples and the data pipeline's draws in an epoch are functions of
    (seed, epoch), whatever ran before. Processes share PyTorch's generator, from which the blur masks of the whole
    batch are drawn, and differ in Python's and NumPy's, from which pipelines draw. Workers get new seeds each epoch;
    without this hook mmengine gives them the same ones.

    Where checkpoints are saved by steps, they hold the states of all generators of all processes, with which a run goes
    on inside an epoch.

    Args:
        augmentation_epochs: After how many epochs the data repeat: the order of samples and the draws of pipelines and
            batch augmentations in epoch ``e`` are then those of epoch ``e`` modulo this, and follow from the seed, the
            epoch and the sample alone, whatever worker makes it. What the network draws, such as blur masks, does not
            repeat. A :class:`bkdsnn.models.teachers.cache.TeacherCache` needs it. ``None`` draws anew in each epoch.

    Raises:
        ValueError: If ``augmentation_epochs`` is below 1, or something in the data does not follow the seed, which is
            named; if ``train_dataloader.persistent_workers`` is set, as such workers keep generators of their own, or
            if training is not by epoch.
    """

    # Of all processes, while a checkpoint of a step is saved or resumed.
    states: Optional[List[Dict[str, Any]]] = None
    # What makes samples, where their draws repeat, and a digest of some.
    samples: Optional[SeededSamples] = None
    digest = ''

    def __init__(self, augmentation_epochs: Optional[int] = None) -> None:
        if augmentation_epochs is not None and (isinstance(augmentation_epochs, bool)
                                                or not isinstance(augmentation_epochs, int) or augmentation_epochs < 1):
            raise ValueError(f'EpochSeedHook: augmentation_epochs={augmentation_epochs!r} must be a whole number of at '
                             'least 1, or None to draw anew in each epoch (custom_hooks).')
        self.augmentation_epochs = augmentation_epochs

    def before_train(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError('EpochSeedHook makes runs by epoch resume exactly, but train_cfg.by_epoch is False. Set '
                             'it to True, or drop EpochSeedHook from custom_hooks.')
        loader = runner.train_dataloader
        if loader.num_workers and loader.persistent_workers:
            raise ValueError('train_dataloader.persistent_workers=True keeps random states that no checkpoint holds, '
                             'so a resumed run would differ. Set it to False, or drop EpochSeedHook from custom_hooks.')
        given = loader.worker_init_fn
        own = None if getattr(given, 'func', given) is worker_init_fn else given
        loader.worker_init_fn = partial(seed_worker, rank=get_rank(), then=own)
        if not self._differs_by_rank(runner) and hasattr(loader.sampler, 'seed'):
            # A resumed run has its seed from the checkpoint, after the sampler was built.
            loader.sampler.seed = runner.seed
        if self.augmentation_epochs is not None:
            self.repeat(runner)

    def repeat(self, runner: Runner) -> None:
        """Have the data of a runner repeat; nothing more where they do."""
        if self.samples is not None:
            return
        if self._differs_by_rank(runner):
            raise ValueError('EpochSeedHook.augmentation_epochs: randomness.diff_rank_seed=True gives processes seeds '
                             'of their own, so that draws would depend on which one makes a sample. Set it to False.')
        loader = runner.train_dataloader
        if type(loader.sampler) is not DefaultSampler:
            raise ValueError(f'EpochSeedHook.augmentation_epochs: the order of {type(loader.sampler).__name__} is not '
                             "known to follow from seed and epoch. Set train_dataloader.sampler.type='DefaultSampler'.")
        self.samples = SeededSamples.of(loader.dataset, runner.seed)
        self.digest = check_draws(self.samples)

    def begin(self, runner: Runner, epoch: int) -> int:
        """Have the data be those of an epoch from the next time on that the loader is gone through.

        Returns:
            The epoch whose draws are repeated.
        """
        epoch %= self.augmentation_epochs
        self.samples.epoch = epoch
        # After mmengine's hook, which sets the epoch that it is.
        runner.train_dataloader.sampler.set_epoch(epoch)
        return epoch

    def before_train_epoch(self, runner: Runner) -> None:
        seed = int(np.random.SeedSequence([runner.seed, runner.epoch]).generate_state(1)[0]) // 2
        set_random_seed(seed, diff_rank_seed=self._differs_by_rank(runner))
        if get_rank() > 0:
            _seed_numpy_and_python(seed, get_rank())
        if self.samples is not None:
            self.begin(runner, runner.epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        if self.samples is not None:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            SeededAugment.put_into(model.data_preprocessor, runner.seed, (self.samples.epoch, get_rank(), batch_idx))

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        self.states = all_gather_object(random_states()) if saves_after_step(runner) else None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self.states is not None:
            checkpoint[STATES] = self.states

    def after_train_epoch(self, runner: Runner) -> None:
        self.states = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self.states = checkpoint.get(STATES)

    def after_done_steps(self, runner: Runner) -> None:
        """Go on with the random numbers of the run that was saved inside an epoch."""
        set_random_states(self.states[get_rank()])

    @staticmethod
    def _differs_by_rank(runner: Runner) -> bool:
        return runner.cfg.get('randomness', {}).get('diff_rank_seed', False)


def random_states() -> Dict[str, Any]:
    """States of the generators of Python, NumPy and PyTorch in this process, and of the current GPU if there is one."""
    states = dict(python=random.getstate(), numpy=np.random.get_state(), torch=torch.get_rng_state())
    return dict(states, cuda=torch.cuda.get_rng_state()) if torch.cuda.is_available() else states


def set_random_states(states: Dict[str, Any]) -> None:
    """Set the generators to what :func:`random_states` has returned."""
    random.setstate(states['python'])
    np.random.set_state(states['numpy'])
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


def seed_worker(worker_id: int, rank: int, then: Optional[Callable[[int], None]] = None) -> None:
    """Seed a worker of a data loader: PyTorch has given it a seed of the epoch, which all processes share.

    Args:
        worker_id: Of the worker.
        rank: Of the process.
        then: What the config wants done in a worker as well (``train_dataloader.worker_init_fn``).
    """
    _seed_numpy_and_python(torch.initial_seed(), rank)
    torch.manual_seed(torch.initial_seed() + 1_000_003 * rank)
    if then is not None:
        then(worker_id)


def _seed_numpy_and_python(seed: int, rank: int) -> None:
    own = int(np.random.SeedSequence([seed, rank]).generate_state(1)[0])
    random.seed(own)
    np.random.seed(own)
