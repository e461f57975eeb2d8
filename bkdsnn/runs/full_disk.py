"""What to tell a user whose disk takes no more during a training."""
import contextlib
import logging
import sys
from typing import Iterator

from ..checkpoints.files import latest_checkpoint
from ..utils.disk import REASONS, named, reason_of


@contextlib.contextmanager
def explained(work_dir: str, how: str = 'with --resume') -> Iterator[None]:
    """Inside, errors of a disk that takes no more say which file it was, what is safe, and how the run goes on.

    Args:
        work_dir: Of the run.
        how: It goes on.

    Raises:
        OSError: In their place.
    """
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        if reason is None:
            raise
        latest = latest_checkpoint(work_dir)
        safe = 'No checkpoint was written before, so the run begins anew' if latest is None else \
            f'{latest} is whole, and the run goes on from it'
        raise OSError(f'{reason} {safe} {how} when that is mended.') from error


def stop_where_log_is_lost(logger: logging.Logger) -> None:
    """Have a disk that does not take the log end the run; Python's would print a trace for each line and go on."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _raising(handler)


def _raising(handler: logging.FileHandler):
    usual = handler.handleError

    def handle(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and error.errno in REASONS:
            with named(handler.baseFilename):
                raise error
        usual(record)

    return handle
