"""Lines that are worth saying once."""
from mmengine.logging import print_log

_said = set()


def log_once(message: str) -> None:
    """Log a line, unless it was logged before."""
    if message not in _said:
        _said.add(message)
        print_log(message, logger='current')
