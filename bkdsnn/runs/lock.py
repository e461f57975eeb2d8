"""One run at a time in a work directory."""
import contextlib
import errno
import logging
import os
from pathlib import Path
from typing import Iterator, Union

from filelock import FileLock, Timeout
from mmengine.logging import print_log

NAME = '.lock'
# Seconds to wait for what a killed run has left behind, such as processes that load data, to end.
PATIENCE = 10.0
# What launchers call the number of a process.
RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')
# What file systems without locks say.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def locked(work_dir: Union[str, Path], launcher: str = 'none') -> Iterator[None]:
    """Keep a work directory for one run. The lock is the operating system's and ends with the process, however it ends.

    It holds between machines that share the folder if the file system has locks (NFS from version 4; NFS 3 with its
    lock daemon); on one without any, the log says so. Of several processes, the first one has it for all.

    Args:
        work_dir: The folder, which is made if it is not there.
        launcher: As in the config.

    Raises:
        ValueError: If another run has it.
    """
    if int(os.environ.get(RANKS.get(launcher, ''), 0)):
        yield
        return
    Path(work_dir).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone_in(work_dir, PATIENCE))
        except Timeout:
            raise ValueError(f'work_dir={str(work_dir)!r} is in use by another run, which would overwrite what this '
                             'one writes. Wait for it, stop it, or take another folder with --work-dir.') from None
        yield


@contextlib.contextmanager
def alone_in(folder: Union[str, Path], patience: float = -1) -> Iterator[None]:
    """Inside, no other process is inside for the same folder, which has to be there.

    Args:
        folder: The folder.
        patience: Seconds to wait for another process; forever if negative.

    Raises:
        filelock.Timeout: If another process is inside for longer.
    """
    lock = FileLock(Path(folder) / NAME)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        print_log(f'{folder} is on a file system without locks: see to it that no other run uses this folder.',
                  logger='current', level=logging.WARNING)
    try:
        yield
    finally:
        lock.release()
