"""What a training becomes on other numbers of processes, computed from its config."""
from dataclasses import dataclass
from functools import lru_cache
from typing import Iterator, Optional, Sequence

from mmengine.config import Config

from bkdsnn.config.data import steps_in_epoch
from bkdsnn.models.teachers.cache.files import Claim

from .memory import MemoryPlanner


@dataclass(frozen=True)
class Scale:
    """A training on a number of processes.

    Attributes:
        gpus: Number of processes.
        batch_size: Samples of one process in a step.
        samples: In an update of the weights, of all processes and accumulated steps.
        lr: As ``--auto-scale-lr`` scales it; ``None`` where the config does not say.
        steps: In an epoch.
        memory: Predicted bytes of one process at the peak of a step.
        sent: Bytes that a process sends, and receives, in an update: gradients, by a ring all-reduce.
        cache: Bytes of the whole teacher cache; ``None`` without one.
    """

    gpus: int
    batch_size: int
    samples: int
    lr: Optional[float]
    steps: int
    memory: int
    sent: int
    cache: Optional[int]

    @property
    def sent_in_epoch(self) -> int:
        """Bytes that a process sends in an epoch."""
        return self.sent * self.steps * self.batch_size * self.gpus // self.samples


def repeated_epochs(cfg: Config) -> int:
    """How many epochs of a config draw anew, as far as a teacher cache is concerned; 1 where it does not say."""
    hooks = cfg.get('custom_hooks') or []
    return next((hook['augmentation_epochs'] for hook in hooks if hook.get('augmentation_epochs')), 1)


def ring_bytes(size: int, processes: int) -> int:
    """Bytes that each process sends where ``size`` bytes are summed over all by a ring, and receives."""
    return 2 * (processes - 1) * size // processes


def plan_scales(cfg: Config, samples: int, gpus: Sequence[int], total: Optional[int] = None) -> Iterator[Scale]:
    """Compute a training on several numbers of processes.

    Args:
        cfg: As of :class:`MemoryPlanner`, with ``train_dataloader.batch_size``.
        samples: Of the training data.
        gpus: Numbers of processes.
        total: Samples of all processes in a step; by default each process has the config's batch size.

    Raises:
        ValueError: If ``total`` is not divided by a number of processes, or an epoch would have no step.
    """
    loader, planner = cfg.train_dataloader, MemoryPlanner(cfg)
    accumulated, scaling = cfg.optim_wrapper.get('accumulative_counts', 1), cfg.get('auto_scale_lr')
    lr = cfg.optim_wrapper.get('optimizer', {}).get('lr')
    gradients = sum(p.nbytes for p in planner.model.parameters() if p.requires_grad)
    kept = getattr(planner.model, 'teacher_cache', None)

    @lru_cache(None)
    def peak_of(batch_size: int, several: bool) -> int:
        planner.gpus = 2 if several else 1  # all that matters
        return planner.plan(batch_size).peak

    for number in gpus:
        if total is not None and total % number:
            raise ValueError(f'{total} samples cannot be spread evenly over {number} processes.')
        batch_size = loader.batch_size if total is None else total // number
        steps = steps_in_epoch(samples, number, batch_size, loader.get('drop_last', False))
        if not steps:
            raise ValueError(f'{samples} samples in {number} processes make no batch of {batch_size} in each, and '
                             'train_dataloader.drop_last=True leaves out smaller ones.')
        claim = kept and Claim({}, kept.taps, repeated_epochs(cfg), number, steps, batch_size)
        together = number * batch_size
        yield Scale(gpus=number, batch_size=batch_size, samples=together * accumulated,
                    lr=lr and scaling and lr * together / scaling.base_batch_size,
                    steps=steps, memory=peak_of(batch_size, number > 1), sent=ring_bytes(gradients, number),
                    cache=claim and claim.total_bytes)
