"""Sections of a benchmark that runs once: what one has found outlives its failure, and the end of the time."""
import gc
import json
import signal
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, List, Optional

import torch

LAST_LINES = 12  # of a traceback


class OutOfTime(BaseException):
    """The time is up; no :class:`Exception`, so that nothing between takes it for a failure of its own."""


class Sections:
    """Runs functions that fill a dict, in order of importance.

    Attributes:
        result: ``sections`` by name, each with its ``seconds``; of those that failed with their ``error`` too. The
            names of these are in ``failed``, of those that the time did not suffice for in ``skipped``.

    Args:
        result: What stands beside the sections; it is written with them.
        minutes: After which no section is begun and the running one is stopped.
        out: File to write after each section.
    """

    def __init__(self, result: dict, minutes: float, out: Optional[Path] = None) -> None:
        self.result = dict(result, sections={}, failed=[], skipped=[])
        self.end, self.out = time.monotonic() + 60 * minutes, out

    def run(self, name: str, function: Callable[[Dict[str, object]], None]) -> None:
        """``function(report)``, where ``report`` is the section's dict, if there is time."""
        left = self.end - time.monotonic()
        if left <= 0:
            self.result['skipped'].append(name)
            self.write()
            return
        print(f'{name} ...', flush=True)
        report = self.result['sections'][name] = {}
        start = time.monotonic()
        try:
            with stopped_after(left):
                function(report)
        except Exception:
            report['error'] = last_lines()
        except OutOfTime:
            report['error'] = ['The time was up.', *last_lines()]
        report['seconds'] = round(time.monotonic() - start, 1)
        if 'error' in report:
            self.result['failed'].append(name)
            print('  failed:', *report['error'], sep='\n  ', flush=True)
        print(f'{name}: {report["seconds"]} s', flush=True)
        self.write()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def write(self) -> None:
        if self.out is not None:
            self.out.write_text(json.dumps(self.result, indent=1) + '\n')


def last_lines() -> List[str]:
    """Of the traceback of the exception that is handled."""
    return traceback.format_exc().strip().splitlines()[-LAST_LINES:]


@contextmanager
def stopped_after(seconds: float):
    """Raise :class:`OutOfTime` inside the block when so much time has passed."""
    def stop(*_) -> None:
        raise OutOfTime

    if threading.current_thread() is not threading.main_thread():  # which alone is sent signals
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
