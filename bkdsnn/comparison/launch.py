"""The processes of a comparison: this one alone, several on this machine, or jobs of a Slurm cluster."""
import os
import shlex
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional
from uuid import uuid4

from filelock import FileLock
from mmengine.registry import DefaultScope
from rich.console import Console
from rich.progress import track

from ..config.checks import check_config, check_disk, check_training
from ..config.networks import model_config
from ..registry import MODELS
from ..utils.optional import require
from ..utils.processor import usable_cores, visible_gpus
from .origin import teachers_of
from .plan import Entry, Plan
from .table import Standings
from .view import View
from .work import PATIENCE, Progress, is_locked, lock_of, took, work

EXECUTORS = ('local', 'slurm', 'none')
# Without a limit of their own, jobs on this machine end after minutes.
FOREVER = 60 * 24 * 365


def compare(plan: Plan, executor: str = 'local', jobs: Optional[int] = None, slurm: Dict[str, Any] = {},
            console: Optional[Console] = None) -> Standings:
    """Carry out a comparison, or what is left of it.

    Args:
        plan: The comparison.
        executor: ``'local'``, processes on this machine; ``'slurm'``, jobs of a cluster; ``'none'``, this process.
        jobs: How many workers; on this machine by default one for each GPU, or for each core where there is none.
        slurm: Parameters of submitit's Slurm executor, such as ``dict(slurm_partition='gpu', timeout_min=600)``.
        console: Where progress is shown.

    Returns:
        The table.

    Raises:
        FileNotFoundError: If the pair, a method, data or the teacher's weights are missing.
        ValueError: If no method can be trained, an argument is out of range, another command works in the same
            folder, or finished runs there had another teacher.
        ChildProcessError: If workers ended before their work.
        OSError: If a run cannot go on for want of files or of room on the disk.
    """
    if executor not in EXECUTORS:
        raise ValueError(f'executor={executor!r} is unknown; choose from {EXECUTORS}.')
    if jobs is not None and jobs < 1:
        raise ValueError(f'jobs={jobs} must be at least 1.')
    if plan.points:
        require('optuna', 'optuna', 'the search')  # before it is needed
    console = console or Console()
    entries = plan.entries()
    reasons = {entry.name: why_not(entry) for entry in track(entries, 'Building each method', transient=True,
                                                             console=console, disable=not console.is_terminal)}
    progress = Progress(plan, [entry for entry in entries if reasons[entry.name] is None])
    names = [tuning.entry.name for tuning in progress.tunings]
    if not names:
        raise ValueError(f'none of the methods can be trained on {plan.pair}: {next(iter(reasons.values()))}')
    for tuning in progress.tunings:
        # The data of a cluster's nodes need not be where its jobs are sent from.
        splits = () if executor == 'slurm' else ('train', 'val', 'test')
        check_disk(tuning.entry.config, splits)
        if tuning.searched is not tuning.entry:
            check_disk(tuning.searched.config, splits[:2])
    check_teachers(progress)
    with alone_in(Path(plan.out)), View(progress, console) as view:
        progress.tidy_up()
        if plan.keep and (missing := progress.not_kept()):
            console.print(f'Of them without a folder, as they were not kept: {len(missing)}; for all of them, train '
                          'into another one (--out).', highlight=False)
        if executor == 'none':
            work(plan, names, tell=view.update)
        else:
            _run_workers(plan, names, executor, jobs, slurm, view)
        if plan.points:
            record_searches(progress)
    return Standings.of(progress, entries, reasons)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only command that works in a folder.

    Raises:
        ValueError: If there is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / 'command.lock', blocking=False)
    if not took(lock):
        raise ValueError(f'another command works in {folder}; wait for it, or give another folder.')
    try:
        yield
    finally:
        lock.release()


def check_teachers(progress: Progress) -> None:
    """See that finished runs had the teacher that is there now.

    Raises:
        ValueError: If one had another.
    """
    lines = progress.ledger.lines()
    for task in progress.all_tasks():
        for there, here in zip(lines.get(task.key, {}).get('teacher') or (), teachers_of(task.entry.config)):
            if there and here and there != here:
                raise ValueError(f'{task.entry.name} in {progress.plan.results} had a teacher whose weights begin with '
                                 f'{there} (SHA-256), and the one here has {here}: their students do not compare. Name '
                                 'the former with --cfg-options model.teacher.checkpoint=FILE, or start anew with '
                                 'another folder (--out).')


def look(plan: Plan) -> Standings:
    """The table of what is finished; nothing is trained, and a teacher that others trained with need not be here."""
    entries = plan.entries()
    progress = Progress(plan, entries)
    lines = progress.ledger.lines()
    trained = {task.entry.name for task in progress.all_tasks() if task.key in lines}
    reasons: Dict[str, Optional[str]] = dict.fromkeys(entry.name for entry in entries)
    for entry in entries:
        if entry.name not in trained:
            try:
                reasons[entry.name] = why_not(entry)
            except FileNotFoundError as error:
                reasons[entry.name] = str(error)
    return Standings.of(Progress(plan, [entry for entry in entries if reasons[entry.name] is None]), entries, reasons)


def why_not(entry: Entry) -> Optional[str]:
    """Why a method cannot be trained on the pair, or on the one that it is tuned on; ``None`` if it can.

    Raises:
        FileNotFoundError: If the teacher's weights are missing, which concerns the whole comparison.
    """
    try:
        check_config(entry.config)
        check_training(entry.config)
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            MODELS.build(model_config(entry.config))
    except (ValueError, KeyError, TypeError) as error:
        return str(error)
    return None if entry.searched is None else why_not(entry.searched)


def record_searches(progress: Progress) -> None:
    """Write all searches into ``tuning.db``, one Optuna study for each method."""
    storage = f'sqlite:///{Path(progress.plan.out).resolve() / "tuning.db"}'
    for tuning in progress.tunings:
        tuning.record(storage)


def _run_workers(plan: Plan, names: List[str], executor: str, jobs: Optional[int], slurm: Dict[str, Any],
                 view: View) -> None:
    """Start workers and wait for them; again, as long as some have died and a run was finished."""
    locks = Path(plan.out) / 'locks'
    locks.mkdir(exist_ok=True)
    with FileLock(locks / f'command-{uuid4().hex}') as leader:
        while opened := view.progress.open_tasks():
            if all(is_locked(lock_of(plan, task)) for task in opened):  # workers of an earlier command are at it
                time.sleep(PATIENCE)
                view.update()
                continue
            before = view.progress.done()
            errors = _wait_for(_submit(plan, names, leader.lock_file, executor, jobs, slurm), view)
            if errors and view.progress.done() == before:
                raise ChildProcessError(f'the workers ended before their work: {errors[0]} (their output: '
                                        f'{Path(plan.out) / "workers"})')


def _wait_for(running: list, view: View) -> List[Exception]:
    """Wait until jobs of submitit have ended, and tell what has ended those that have not done their work."""
    try:
        while not all(job.done() for job in running):
            view.update()
            time.sleep(0.5)
        view.update()
    except BaseException:
        for job in running:
            job.cancel()
        raise
    return list(filter(None, map(_error_of, running)))


def _error_of(job: Any) -> Optional[Exception]:
    """What has ended a job of submitit that has not done its work."""
    from submitit.core.utils import UncompletedJobError  # optional
    try:
        return job.exception()
    except UncompletedJobError as error:
        return error


def _submit(plan: Plan, names: List[str], leader: str, executor: str, jobs: Optional[int],
            slurm: Dict[str, Any]) -> list:
    """Jobs of submitit, one for each worker."""
    submitit = require('submitit', 'submitit', f'--executor {executor}')
    folder = Path(plan.out) / 'workers'
    if executor == 'slurm':
        launcher = submitit.AutoExecutor(folder, cluster='slurm')
        launcher.update_parameters(**{'name': f'compare-{Path(plan.pair).stem}', **slurm})
        # Jobs of a cluster go on where nobody waits for them.
        return [launcher.submit(work, plan, names) for _ in range(jobs or 1)]
    gpus, cores = visible_gpus(), usable_cores()
    jobs = jobs or len(gpus) or cores
    threads = None if 'OMP_NUM_THREADS' in os.environ else max(1, cores // jobs)
    launched = []
    for number in range(jobs):
        # submitit gives GPUs by their numbers on the machine, and takes no UUIDs.
        gpu = gpus[number % len(gpus)] if gpus else ''
        python = shlex.join(['env', f'CUDA_VISIBLE_DEVICES={gpu}', sys.executable])
        launcher = submitit.LocalExecutor(folder, python=python)
        launcher.update_parameters(timeout_min=FOREVER)
        launched.append(launcher.submit(work, plan, names, leader, threads))
    return launched
