"""Errors that say that memory ran out, of a device or of the machine."""
import errno
from typing import Optional

import torch

# What PyTorch raises without a class of its own: allocators of CPUs, CUDA's driver and libraries.
SIGNS = ('DefaultCPUAllocator', 'CUDA error: out of memory', 'STATUS_ALLOC_FAILED')


def find_memory_error(error: Optional[BaseException]) -> Optional[BaseException]:
    """The lack of memory that another error came from, or is itself; ``None`` where it is something else."""
    found = None
    while error is not None:
        if (isinstance(error, (torch.OutOfMemoryError, MemoryError)) or getattr(error, 'errno', None) == errno.ENOMEM
                or isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)):
            found = error
        # Not its context: that may be an error which somebody has handled, by trying again with a smaller batch.
        error = getattr(error, 'inner_exception', None) or error.__cause__  # the former is a compiler's
    return found
