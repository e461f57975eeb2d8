"""Workers: processes that take one open run after another."""
import gc
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Optional

import torch
from filelock import FileLock, Timeout
from mmengine.config import config as mmengine_config

from .ledger import Ledger
from .plan import Entry, Plan, Task
from .running import carry_out
from .tuning import Tuning

# Seconds between two looks at what others do.
PATIENCE = 2.0


class Progress:
    """What is open and what is done in a comparison, by its results.

    Args:
        plan: The comparison.
        entries: The methods that can be trained.
    """

    def __init__(self, plan: Plan, entries: List[Entry]) -> None:
        self.plan, self.ledger = plan, Ledger(plan.results, plan.retry_before)
        self.tunings = [Tuning(plan, entry) for entry in entries]

    def open_tasks(self) -> List[Task]:
        """What can be trained now: first the searches, then seed by seed all methods whose search has ended."""
        lines = self.ledger.lines()
        tasks = [task for tuning in self.tunings for task in tuning.open_tasks(lines)]
        return tasks + [task for task in self.final_tasks() if task.key not in lines]

    def final_tasks(self) -> List[Task]:
        """The runs of the table, of the methods whose search has ended."""
        choices = [(tuning.entry, tuning.choice) for tuning in self.tunings]
        return [entry.run(choice.point, seed, 'test') for seed in range(self.plan.seeds)
                for entry, choice in choices if choice is not None]

    def done(self) -> int:
        """How many of the comparison's runs are finished."""
        lines = self.ledger.lines()
        searched = [task for tuning in self.tunings for task in tuning.all_tasks(lines)]
        return sum(task.key in lines for task in searched + self.final_tasks())

    def total(self) -> int:
        """How many runs the comparison has, as far as is known."""
        hopeless = sum(tuning.ended and tuning.choice is None for tuning in self.tunings)
        return (len(self.tunings) * self.plan.points * self.plan.tune_seeds
                + (len(self.tunings) - hopeless) * self.plan.seeds)

    @property
    def tuned(self) -> bool:
        """Whether all searches have ended."""
        return all(tuning.ended for tuning in self.tunings)


def work(plan: Plan, names: List[str], leader: Optional[str] = None, threads: Optional[int] = None,
         tell: Callable[[Task, dict], None] = lambda task, line: None) -> None:
    """Carry out runs, one after another, until nothing is left that others do not do already.

    Args:
        plan: The comparison.
        names: The methods that can be trained.
        leader: A file that the process that waits for this one has locked; without it, this one ends.
        threads: Of PyTorch.
        tell: Is told of each finished run.
    """
    # A run writes its config several times, and making it pretty would take longer than all else.
    mmengine_config.FormatCode = lambda text, **style: (text, True)
    if threads:
        torch.set_num_threads(threads)
    gc.collect()
    gc.freeze()  # mmengine collects for each data set, among all that was imported
    progress = Progress(plan, [entry for entry in plan.entries() if entry.name in names])
    while tasks := progress.open_tasks():
        if leader is not None and not is_locked(leader):
            return
        for task in tasks:
            with claimed(plan, task) as is_mine:
                # Another may have finished it in the meantime.
                if not is_mine or task.key in progress.ledger.lines():
                    continue
                line = carry_out(plan, task)
                progress.ledger.append(line)
            tell(task, line)
            gc.collect()
            break
        else:
            if progress.tuned:
                return
            time.sleep(PATIENCE)


@contextmanager
def claimed(plan: Plan, task: Task) -> Iterator[bool]:
    """Have a run for oneself, if nobody else has it. The lock is the system's, so it ends with its owner."""
    folder = Path(plan.out) / 'locks'
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / '-'.join(map(str, task.key)), blocking=False)
    is_mine = took(lock)
    try:
        yield is_mine
    finally:
        if is_mine:
            lock.release()


def took(lock: FileLock) -> bool:
    """Whether a lock was free, which it is no longer."""
    try:
        lock.acquire()
    except Timeout:
        return False
    return True


def is_locked(path: str) -> bool:
    """Whether another process holds a lock."""
    lock = FileLock(path, blocking=False)
    if not took(lock):
        return True
    lock.release()
    return False
