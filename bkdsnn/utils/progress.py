"""A progress bar for work that turns out to be long."""
import time
from typing import Iterable, Iterator, Optional, TypeVar

from rich.console import Console
from rich.progress import Progress

T = TypeVar('T')


def track_if_long(steps: Iterable[T], description: str, total: Optional[int], patience: float = 2.0) -> Iterator[T]:
    """Go through steps, with a bar on the terminal once they have taken longer than ``patience`` seconds.

    Args:
        steps: What to go through.
        description: What the bar says.
        total: Number of steps.
        patience: Seconds.
    """
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    task, begin = progress.add_task(description, total=total), time.monotonic()
    try:
        for step in steps:
            yield step
            progress.advance(task)
            if time.monotonic() - begin > patience:
                progress.start()  # nothing where it has been started
    finally:
        progress.stop()
