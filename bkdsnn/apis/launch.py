"""Several trainings at once on one machine, with progress and ETA."""
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

from mmengine.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..checkpoints.files import latest_checkpoint
from ..config.files import read_config_file
from ..config.networks import teacher_configs
from ..runs.folders import Run, same_config
from ..runs.lock import locked
from ..utils.processor import usable_cores
from .model import config_root

EPOCH = re.compile(rb'Epoch\(train\)\s+\[(\d+)\]')


@dataclass
class Training:
    """One call of ``tools/train.py``.

    Attributes:
        config: Path of the config.
        work_dir: Where the run goes.
        options: Config settings to override.
    """

    config: str
    work_dir: str
    options: Dict[str, object]

    def merged_config(self) -> Config:
        """The config as the run will see it."""
        cfg = read_config_file(self.config)
        cfg.merge_from_dict(dict(self.options, work_dir=self.work_dir))
        if 'max_epochs' not in cfg.train_cfg:
            raise ValueError(f'{self.config}: only training by epoch can be launched here (train_cfg.max_epochs).')
        return cfg

    def done(self) -> bool:
        """Whether this very training has been finished before."""
        run = self._former()
        return run is not None and run.finished

    def _former(self) -> Optional[Run]:
        """The run of this very training in its work directory, if it has begun there and saved something."""
        try:
            run = Run.open(self.work_dir)
        except FileNotFoundError:
            return None
        if run.checkpoint is None:
            return None
        cfg = self.merged_config()
        # What tools/train.py fills in.
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            if cfg.get(name) and run.config.get(name):
                cfg[name].setdefault('pin_memory', run.config[name].get('pin_memory'))
        return run if same_config(cfg, run.config) and not self._teacher_is_newer(cfg, run) else None

    @staticmethod
    def _teacher_is_newer(cfg: Config, run: Run) -> bool:
        teacher = cfg.model.get('teacher')
        for single in teacher_configs(teacher) if teacher else []:
            file = os.path.expanduser(single.get('checkpoint') or '')
            file = latest_checkpoint(file) if file and os.path.isdir(file) else file
            if file and os.path.exists(file) and os.path.getmtime(file) > run.checkpoint.stat().st_mtime:
                return True
        return False

    def start(self, threads: int) -> subprocess.Popen:
        """Start the process, or let it go on from its last checkpoint; its output goes to ``output.log`` there.

        Raises:
            ValueError: If another run is in the work directory, whose output is kept.
        """
        with locked(self.work_dir):
            pass
        tool = config_root().parent / 'tools' / 'train.py'
        options = [f'{key}={value}' for key, value in self.options.items()]
        resume = self._former() is not None
        command = [sys.executable, str(tool), self.config, '--work-dir', self.work_dir, *['--resume'] * resume]
        with open(Path(self.work_dir) / 'output.log', 'ab' if resume else 'wb') as log:
            return subprocess.Popen(command + (['--cfg-options', *options] if options else []), stdout=log,
                                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                    env={'OMP_NUM_THREADS': str(threads), **os.environ})

    def epochs_done(self) -> int:
        """Epochs that the process has logged so far."""
        found = EPOCH.findall((Path(self.work_dir) / 'output.log').read_bytes())
        return int(found[-1]) if found else 0


def take_ended(running: Dict[subprocess.Popen, Any], failure: Callable[[Any], str]) -> List[Any]:
    """Take processes that have ended out of those that run.

    Args:
        running: Processes with what they do.
        failure: Says of such a thing that it has failed.

    Returns:
        What is done.

    Raises:
        ChildProcessError: If a process has failed.
    """
    ended = {process: work for process, work in running.items() if process.poll() is not None}
    for process, work in ended.items():
        del running[process]
        if process.returncode:
            raise ChildProcessError(failure(work))
    return list(ended.values())


@contextmanager
def stopped_in_the_end(running: Dict[subprocess.Popen, Any]) -> Iterator[None]:
    """Stop the processes that still run when the block is left."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def end_of(log: Path) -> str:
    """The last line of what a process has written, and where all of it is."""
    return f'{" ".join(log.read_text(errors="replace").strip().splitlines()[-1:])} (all of it: {log})'


def run_all(trainings: List[Training], jobs: int, what: str) -> None:
    """Run all trainings, ``jobs`` at a time; with the same config, those finished before are kept, begun ones go on.

    Raises:
        ValueError: If two share a work directory.
        ChildProcessError: If one fails; the others are stopped and the message holds the end of its output.
    """
    folders = [training.work_dir for training in trainings]
    twice = sorted({folder for folder in folders if folders.count(folder) > 1})
    if twice:
        raise ValueError(f'several trainings would run in {twice[0]}; give their configs different work_dirs.')
    waiting = [training for training in trainings if not training.done()]
    if len(waiting) < len(trainings):
        print(f'{what}: {len(trainings) - len(waiting)} of {len(trainings)} runs were finished before and are kept.')
    if not waiting:
        return
    epochs = {training.work_dir: training.merged_config().train_cfg.max_epochs for training in waiting}
    jobs = min(jobs, len(waiting))
    threads = max(1, usable_cores() // jobs)
    running: Dict[subprocess.Popen, Training] = {}
    finished_epochs = finished = 0
    console = Console(force_interactive=sys.stdout.isatty())
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('epochs'),
               TimeElapsedColumn(), TextColumn('ETA'), TimeRemainingColumn(elapsed_when_finished=False))
    with stopped_in_the_end(running), Progress(
            *columns, console=console, speed_estimate_period=600, refresh_per_second=2,
            disable=not console.is_interactive) as progress:
        task = progress.add_task(what, total=sum(epochs.values()))
        while waiting or running:
            while waiting and len(running) < jobs:
                training = waiting.pop(0)
                running[training.start(threads)] = training
            time.sleep(0.2)
            for training in take_ended(running, _failure):
                finished += 1
                finished_epochs += epochs[training.work_dir]
                if not console.is_interactive:
                    print(f'{what}: {training.work_dir} finished ({finished} of {len(epochs)})', flush=True)
            done = finished_epochs + sum(training.epochs_done() for training in running.values())
            progress.update(task, completed=done, description=f'{what} ({finished}/{len(epochs)} runs)')


def _failure(training: Training) -> str:
    return (f'training {training.config} in {training.work_dir} failed: '
            f'{end_of(Path(training.work_dir) / "output.log")}')
