"""Filling a teacher's cache ahead of training, in one process or several."""
import copy
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterable, Iterator, List

import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.data import BatchSampler, DataLoader

from bkdsnn.apis.cli import build_runner
from bkdsnn.apis.launch import end_of, stopped_in_the_end, take_ended
from bkdsnn.config.sharded_optimizer import unsharded
from bkdsnn.datasets.draws import SeededAugment
from bkdsnn.models.distillers.distiller import views_of
from bkdsnn.models.teachers.cache.files import CacheFiles
from bkdsnn.utils.processor import usable_cores, visible_gpus

from .hooks.teacher_check_hook import TeacherCheckHook
from .teacher_cache import cache_of, check_sum, distiller_of, open_cache, seed_hook_of

# Seconds between two lines where there is no terminal to draw a bar on.
INTERVAL = 10.0


def prepare(cfg: Config, processes: int) -> Runner:
    """A runner that could train, with its cache open.

    Args:
        cfg: Of the training.
        processes: Of the training.

    Raises:
        ValueError: If the config has no cache, or it cannot be opened.
    """
    if (cfg.model.get('teacher_cache') or {}).get('folder') is None:
        raise ValueError('the config has no model.teacher_cache; name a folder for it with --cfg-options '
                         'model.teacher_cache.folder=FOLDER.')
    # Beside the caches, since the run's own folder is for the run.
    cfg.work_dir = str(Path(cfg.model.teacher_cache.folder).expanduser() / 'filling')
    cfg.log_level = 'WARNING'
    cfg.optim_wrapper.optimizer = unsharded(cfg.optim_wrapper.optimizer)  # which nothing is trained by
    runner = build_runner(cfg)
    if cache_of(runner) is None:
        raise ValueError('no loss of the config asks for what the teacher says, so there is nothing to keep.')
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loops = [loop for loop in (runner.train_loop, runner.val_loop) if loop is not None]
    distiller_of(runner).learn_channel_order([loop.dataloader.dataset for loop in loops])
    open_cache(runner, processes)
    return runner


def check_teacher(runner: Runner) -> None:
    """Measure the teacher, as before training; a training whose cache is complete then need not."""
    for hook in runner.hooks:
        if isinstance(hook, TeacherCheckHook):
            hook.before_train(runner)


def fill(runner: Runner, part: int = 0, parts: int = 1) -> Iterator[int]:
    """Ask the teacher about all batches that are missing, and give their numbers.

    Args:
        runner: See :func:`prepare`.
        part: Which of the batches, where several processes share them.
        parts: Among how many.
    """
    model, cache, hook = distiller_of(runner), cache_of(runner), seed_hook_of(runner)
    claim, loader = cache.files.claim, runner.train_dataloader
    for epoch in range(claim.epochs):
        hook.begin(runner, epoch)
        for rank in range(claim.processes):
            batches = list(BatchSampler(order_of(loader.sampler, rank, claim.processes), loader.batch_size,
                                        loader.drop_last))
            steps = [step for step in range(part, len(batches), parts) if not cache.has(epoch, rank, step)]
            missing = DataLoader(loader.dataset, batch_sampler=[batches[step] for step in steps],
                                 num_workers=loader.num_workers if steps else 0, collate_fn=loader.collate_fn,
                                 pin_memory=loader.pin_memory)
            for step, batch in zip(steps, missing):
                cache.go_to(epoch, rank, step, check_sum(batch))
                SeededAugment.put_into(model.data_preprocessor, runner.seed, (epoch, rank, step))
                with runner.optim_wrapper.optim_context(runner.model), torch.no_grad():
                    model.teach(views_of(model.data_preprocessor(batch, True)['inputs'])['teacher'])
                cache.leave()
                yield claim.number(epoch, rank, step)


def order_of(sampler: DefaultSampler, rank: int, processes: int) -> List[int]:
    """Indices of samples, as a sampler gives them in one process out of several."""
    sampler = copy.copy(sampler)
    sampler.rank, sampler.world_size = rank, processes
    sampler.num_samples = -(-len(sampler.dataset) // processes)
    sampler.total_size = sampler.num_samples * processes if sampler.round_up else len(sampler.dataset)
    return list(sampler)


def fill_in_processes(command: List[str], processes: int, folder: Path) -> Iterator[None]:
    """Fill by processes of their own, and give way while they work.

    Args:
        command: To which ``--part I/N`` is added.
        processes: How many.
        folder: For their output.

    Raises:
        ChildProcessError: If one fails; the others are stopped, and the message holds the end of its output.
    """
    logs = [folder / f'part{part}.log' for part in range(processes)]
    gpus = visible_gpus()
    running: Dict[subprocess.Popen, Path] = {}
    with stopped_in_the_end(running):
        for part, log in enumerate(logs):
            threads = max(1, usable_cores() // processes)
            environment = {'OMP_NUM_THREADS': str(threads), **os.environ, 'BKDSNN_DEBUG': ''}
            if gpus:
                environment['CUDA_VISIBLE_DEVICES'] = gpus[part % len(gpus)]
            with open(log, 'wb') as file:
                running[subprocess.Popen([sys.executable, *command, '--part', f'{part}/{processes}'], stdout=file,
                                         stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)] = log
        while running:
            time.sleep(0.2)
            take_ended(running, lambda log: f'filling the teacher cache failed: {end_of(log)}')
            yield


def show(files: CacheFiles, steps: Iterable) -> None:
    """Go through the steps of a work that fills a cache, and show how far it is, how long it takes, and the size."""
    console = Console(force_interactive=sys.stdout.isatty())
    columns = (TextColumn('teacher cache'), BarColumn(), MofNCompleteColumn(), TextColumn('batches'),
               TextColumn('{task.fields[size]}'), TimeElapsedColumn(), TextColumn('ETA'),
               TimeRemainingColumn(elapsed_when_finished=False))
    before, total, begin = int(files.done.sum()), len(files.done), time.monotonic()
    said = begin
    with Progress(*columns, console=console, refresh_per_second=2, disable=not console.is_interactive) as progress:
        task = progress.add_task('', total=total, completed=before, size='')
        for _ in steps:
            now = time.monotonic()
            if now - said < (0.5 if console.is_interactive else INTERVAL):
                continue
            said, done = now, int(files.done.sum())
            size = f'{files.stored_bytes / 1e9:,.2f} of {files.claim.total_bytes / 1e9:,.2f} GB'
            progress.update(task, completed=done, size=size)
            if not console.is_interactive and done > before:
                left = (total - done) * (now - begin) / (done - before)
                print(f'{done:,} of {total:,} batches, {size}, ETA {left:,.0f} s', flush=True)
