"""Random numbers of the main process: set for a while, and left as they were."""
import contextlib
import random
from typing import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """Leave the generators of Python and NumPy, and PyTorch's on the CPU, as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def seed_all(*numbers: int) -> None:
    """Seed the generators of Python and NumPy, and PyTorch's on the CPU, by some whole numbers.

    Unlike ``torch.manual_seed``, it leaves those of GPUs alone, which have no part in data.
    """
    own = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(own)
    np.random.seed(own)
    torch.default_generator.manual_seed(own)
