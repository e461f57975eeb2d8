"""Disks that take no more."""
import contextlib
import errno
from pathlib import Path
from typing import Iterator, Optional, Union

# What a system says when it does not write, and what that means.
REASONS = {
    errno.EFBIG: 'the file would be larger than the system allows (ulimit -f, or the file system\'s own limit)',
    errno.ENOSPC: 'no space is left on the device',
    errno.EDQUOT: 'the quota of the user or group is used up',
    errno.EROFS: 'the file system can only be read',
}


@contextlib.contextmanager
def named(path: Union[str, Path]) -> Iterator[None]:
    """Inside, errors of a disk that takes no more name this file, as those of a write do not by themselves."""
    try:
        yield
    except OSError as error:
        if error.errno in REASONS and error.filename is None:
            error.filename = str(path)
        raise


def reason_of(error: Optional[BaseException]) -> Optional[str]:
    """Why a disk has not taken a file, and which, if this is what an error is about; ``None`` for any other."""
    if not isinstance(error, OSError) or error.errno not in REASONS:
        return None
    what = f'{error.filename} cannot be written: ' if error.filename is not None else ''
    return f'{what}{REASONS[error.errno]} (errno {error.errno}).'
