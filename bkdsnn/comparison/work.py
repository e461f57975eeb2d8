"""Workers: processes that take one open run after another."""
import gc
import time
from pathlib import Path
from typing import Callable, List, Optional, Union

import torch
from filelock import FileLock, Timeout

from .ledger import Ledger
from .plan import Entry, Plan, Task
from .running import carry_out, kept_folder, tidy
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

    def all_tasks(self) -> List[Task]:
        """All runs of the comparison, as far as they are known."""
        lines = self.ledger.lines()
        return [task for tuning in self.tunings for task in tuning.all_tasks(lines)] + self.final_tasks()

    def tidy_up(self) -> None:
        """Remove, or keep, what finished runs have left that were killed before they could do so."""
        lines = self.ledger.lines()
        for task in self.all_tasks():
            if task.key in lines:
                tidy(self.plan, task, lines[task.key])

    def not_kept(self) -> List[Task]:
        """Finished runs of the table without a folder, since they were not to be kept, or came from elsewhere."""
        lines = self.ledger.lines()
        return [task for task in self.final_tasks() if lines.get(task.key, {}).get('status') == 'finished'
                and not kept_folder(self.plan, task).exists()]

    def done(self) -> int:
        """How many of the comparison's runs are finished."""
        lines = self.ledger.lines()
        return sum(task.key in lines for task in self.all_tasks())

    def failed(self) -> int:
        """How many of them have failed."""
        lines = self.ledger.lines()
        return sum(task.key in lines and lines[task.key]['status'] == 'failed' for task in self.all_tasks())

    def total(self) -> int:
        """How many runs the comparison has, as far as is known."""
        hopeless = sum(tuning.ended and tuning.choice is None for tuning in self.tunings)
        return (sum(tuning.total() for tuning in self.tunings)
                + (len(self.tunings) - hopeless) * self.plan.seeds)

    @property
    def tuned(self) -> bool:
        """Whether all searches have ended."""
        return all(tuning.ended for tuning in self.tunings)


def work(plan: Plan, names: List[str], leader: Optional[str] = None, threads: Optional[int] = None,
         tell: Callable[[], None] = lambda: None) -> None:
    """Carry out runs, one after another, until nothing is left that others do not do already.

    Args:
        plan: The comparison.
        names: The methods that can be trained.
        leader: A file that the process that waits for this one has locked; when that ends, so does this one.
        threads: Of PyTorch.
        tell: Is called after each run.
    """
    if threads:
        torch.set_num_threads(threads)
    gc.collect()
    gc.freeze()  # mmengine collects for each data set, among all that was imported
    progress = Progress(plan, [entry for entry in plan.entries() if entry.name in names])
    while tasks := progress.open_tasks():
        if leader is not None and not is_locked(leader):
            return
        if any(attempt(plan, task, progress.ledger) for task in tasks):
            tell()
            gc.collect()
        elif progress.tuned:
            return
        else:
            time.sleep(PATIENCE)


def attempt(plan: Plan, task: Task, ledger: Ledger) -> bool:
    """Carry out a run, unless another does or has done so. The claim is a lock of the system's: it ends with its owner.

    Returns:
        Whether it was carried out.
    """
    lock = lock_of(plan, task)
    if not took(lock):
        return False
    try:
        if task.key in ledger.lines():
            return False
        line = carry_out(plan, task)
        ledger.append(line)
        tidy(plan, task, line)
        return True
    finally:
        lock.release()


def lock_of(plan: Plan, task: Task) -> FileLock:
    """The lock of who carries out a run."""
    folder = Path(plan.out) / 'locks'
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / task.name, blocking=False)


def took(lock: FileLock) -> bool:
    """Whether a lock was free, which it is no longer."""
    try:
        lock.acquire()
    except Timeout:
        return False
    return True


def is_locked(lock: Union[str, FileLock]) -> bool:
    """Whether another process holds a lock."""
    lock = FileLock(lock, blocking=False) if isinstance(lock, str) else lock
    if not took(lock):
        return True
    lock.release()
    return False
