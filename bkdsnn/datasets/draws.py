"""Random numbers of data that follow from the seed, the epoch and the sample, and from nothing that ran before."""
import hashlib
import random
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from bkdsnn.config.data import inner_sample
from bkdsnn.utils.random_states import same_random_numbers, seed_all

# Samples that are drawn twice before training.
PROBED = 8
# What keeps a state of its own, which no seed of the epoch reaches.
GENERATORS = (random.Random, np.random.RandomState, np.random.Generator, torch.Generator)
# What random numbers are for: no sample has those of a batch.
SAMPLE, BATCH = 0, 1


class SeededSamples:
    """What PyTorch's loaders ask for the samples of a batch, as a data set's ``__getitems__``.

    The draws of each sample follow from the seed, :attr:`epoch` and its index, so that they are the same whichever
    worker or process makes it, and in whatever order.

    Args:
        dataset: Whose samples they are.
        seed: Of the run.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def __call__(self, indices: Sequence[int]) -> List[Any]:
        with same_random_numbers():
            return [self.sample(idx) for idx in indices]

    def sample(self, idx: int) -> Any:
        """One sample; it leaves the generators as it has set them."""
        seed_all(self.seed, SAMPLE, self.epoch, int(idx))
        return self.dataset[idx]

    @classmethod
    def of(cls, dataset: Any, seed: int) -> 'SeededSamples':
        """Have the loaders of a data set ask this from now on."""
        # On the instance, where PyTorch looks; a wrapper would hide the data set from what asks for its attributes.
        dataset.__getitems__ = cls(dataset, seed)
        return dataset.__getitems__


class SeededAugment:
    """A batch augmentation whose draws follow from the seed and :attr:`place`: epoch, process and step.

    Args:
        augment: The augmentation, a function of images and soft labels.
        seed: Of the run.
    """

    def __init__(self, augment: Callable, seed: int) -> None:
        self.augment, self.seed, self.place = augment, seed, (0, 0, 0)

    def __call__(self, inputs: Tensor, score: Tensor) -> Tuple[Tensor, Tensor]:
        with same_random_numbers():
            seed_all(self.seed, BATCH, *self.place)
            return self.augment(inputs, score)

    @classmethod
    def put_into(cls, preprocessor: Any, seed: int, place: Tuple[int, int, int]) -> None:
        """Have a data preprocessor draw what it mixes for this place, if it mixes batches at all."""
        augment = getattr(preprocessor, 'batch_augments', None)
        if augment is not None and not isinstance(augment, cls):  # at first, or where a hook has changed it
            augment = preprocessor.batch_augments = cls(augment, seed)
        if augment is not None:
            augment.place = place


def check_draws(samples: SeededSamples) -> str:
    """Draw a few samples twice.

    Returns:
        A digest of them: another one if the data, their order or what the pipeline makes of them has changed.

    Raises:
        ValueError: If two draws differ, or a transform keeps a generator of its own; the message names it.
    """
    digests = []
    with same_random_numbers():
        for idx in range(0, len(samples.dataset), max(1, len(samples.dataset) // PROBED)):
            inner, own = inner_sample(samples.dataset, idx)
            transforms = getattr(getattr(inner, 'pipeline', None), 'transforms', [])
            for step in transforms:
                if any(isinstance(value, GENERATORS) for value in vars(step).values()):
                    raise _refused(step, 'it keeps a generator of random numbers of its own')
            first, second = (digest_of(samples.sample(idx)) for _ in range(2))
            if first != second:
                raise _refused(_culprit(samples, idx, inner, own), 'two draws of one sample in one epoch differ')
            digests.append(first)
    return digest_of(digests)


def _refused(step: Any, reason: str) -> ValueError:
    name = step if isinstance(step, str) else type(step).__name__
    return ValueError(f'{name} in train_dataloader.dataset.pipeline does not follow the seed of the epoch: {reason}. '
                      'With EpochSeedHook.augmentation_epochs, draw from the global generators of Python, NumPy or '
                      'PyTorch and keep nothing from call to call, or drop the transform.')


def _culprit(samples: SeededSamples, idx: int, inner: Any, own: int) -> Any:
    """The first transform after which two draws of a sample differ, or what to call it where that is not found."""
    pipeline = getattr(inner, 'pipeline', None)
    transforms = list(getattr(pipeline, 'transforms', []))
    try:
        for end, step in enumerate(transforms, 1):
            pipeline.transforms = transforms[:end]
            digests = set()
            for _ in range(2):
                seed_all(samples.seed, SAMPLE, samples.epoch, idx)
                digests.add(digest_of(inner.prepare_data(own)))
            if len(digests) > 1:
                return step
    except Exception:  # of a data set that cannot be asked for less than all
        pass
    finally:
        if transforms:
            pipeline.transforms = transforms
    return f'{type(inner).__name__}'


def digest_of(value: Any) -> str:
    """SHA-256 of what a pipeline gives: numbers, text, arrays, tensors and data samples, in dicts and lists."""
    digest = hashlib.sha256()
    for part in _bytes_of(value):
        digest.update(part)
    return digest.hexdigest()


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, BaseDataElement):
        value = dict(value.all_items())
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _bytes_of(value[key])
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _bytes_of(part)
    elif isinstance(value, (Tensor, np.ndarray)):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        yield f'{array.dtype}{array.shape}'.encode()
        yield array.tobytes()
    elif isinstance(value, (type(None), bool, int, float, str, np.generic)):
        yield repr(value).encode()
    else:  # whose text may hold an address
        yield type(value).__name__.encode()
