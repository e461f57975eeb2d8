"""One run: trained as by ``tools/train.py``, from where it was interrupted if it was, and measured."""
import contextlib
import inspect
import shutil
import traceback
from pathlib import Path
from typing import Iterator

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import EarlyStoppingHook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.utils import ManagerMixin
from mmengine.visualization import Visualizer

from ..apis.cli import build_runner
from ..apis.evaluate import build_loader, predict_steps, spread_samples
from ..apis.model import init_model
from ..config.checks import parts_of
from ..config.text import plain_config_text
from ..evaluation import accuracy_over_time, calibrate_early_exit, early_exit, measure_synops, running_scores
from ..runs.folders import Run
from ..runs.full_disk import explained
from ..runs.lock import locked
from ..runs.logs import LogSummary
from .origin import origin_of
from .plan import Plan, Task, validates_on_test

# How many samples operations are counted on, spread over the test split.
COUNTED = 32
LOG = 'output.log'
# What submitit raises, wherever a job is at work, when its time is over; the run goes on in another job.
INTERRUPTED = 'UncompletedJobError'
# How errors begin that PyTorch raises where a process was killed, or a GPU answers no more.
LOST = ('DataLoader worker (pid', 'CUDA error')


def carry_out(plan: Plan, task: Task) -> dict:
    """Train and measure a run.

    Returns:
        The line for the results.

    Raises:
        OSError, RuntimeError: If the machine is at fault, not the method; the run stays open.
    """
    cfg, folder = task.config(plan.out), task.folder(plan.out)
    # Nobody sees the curve.
    if (not plan.keep or task.split == 'val') and not follows_validation(cfg):
        cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs
    config_hash, seed, split = task.key
    line = dict(pair=task.entry.pair, method=task.entry.method, neuron=task.entry.neuron,
                variation=task.entry.variation or None, split=split,
                point=task.point, seed=seed, config_hash=config_hash, epochs=cfg.train_cfg.max_epochs)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with output_to(folder / LOG), forgotten(), plain_config_text():
            train(cfg)
            line.update(status='finished', **measure(cfg, split))
    except Exception as error:
        if of_the_machine(error) and not lost_again(error, folder / 'lost'):
            raise
        line.update(status='failed', reason=f'{type(error).__name__}: {error}')
    line.update(origin_of(cfg))
    return line


def of_the_machine(error: Exception) -> bool:
    """Whether an error says nothing of the method: missing files, a full disk, a lost process or GPU, no time left."""
    return isinstance(error, OSError) or type(error).__name__ == INTERRUPTED or str(error).startswith(LOST)


def lost_again(error: Exception, marker: Path) -> bool:
    """Whether a process or GPU was lost for the second time, so that the run itself is at fault; the first is noted."""
    if not str(error).startswith(LOST):
        return False
    again = marker.exists()
    marker.touch()
    return again


def follows_validation(cfg: Config) -> bool:
    """Whether training depends on how it is validated: a schedule or a hook that follows the accuracy."""
    parts = parts_of(cfg, ('param_scheduler', 'default_hooks', 'custom_hooks'))
    return any(getattr(part.found, 'need_val_args', False) or issubclass(part.found, EarlyStoppingHook)
               for part in parts if inspect.isclass(part.found))


def tidy(plan: Plan, task: Task, line: dict) -> None:
    """Remove the work directory of a run whose line is written, or keep it; of one that has failed, it stays."""
    folder = task.folder(plan.out)
    if line['status'] == 'failed' or not folder.exists():
        return
    if plan.keep and task.split == 'test':
        kept = kept_folder(plan, task)
        shutil.rmtree(kept, ignore_errors=True)  # of another point
        kept.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(kept)
    else:
        shutil.rmtree(folder)


def kept_folder(plan: Plan, task: Task) -> Path:
    """Where the work directory of a run of the table is, once it is finished and kept."""
    return Path(plan.out) / task.entry.name / f'seed{task.seed}'


def train(cfg: Config) -> None:
    """Train a config in this process; go on from the last checkpoint in its work directory if there is one."""
    with explained(cfg.work_dir, 'with the same command'), locked(cfg.work_dir):
        run = Run(Path(cfg.work_dir), cfg)
        if run.finished:
            return
        cfg = Config(cfg.to_dict(), filename=cfg.filename)
        # mmengine keeps logs and scopes by this name.
        cfg.experiment_name = cfg.work_dir
        if run.checkpoint is not None:
            cfg.load_from, cfg.resume = str(run.checkpoint), True
        build_runner(cfg).train()


def measure(cfg: Config, split: str) -> dict:
    """Figures of a trained run: on the validation split its accuracy, on the test split what the table shows."""
    run, device = Run(Path(cfg.work_dir), cfg), get_device()
    log = LogSummary.of(run)
    model = init_model(cfg, str(run.checkpoint), device)
    scores, labels = answers(model, cfg, split)
    accuracy = accuracy_over_time(scores, labels).accuracy.tolist()
    figures = dict(accuracy=accuracy[-1], accuracy_over_time=accuracy, step_time=log.step_time, train_time=log.elapsed)
    if split == 'val':
        return figures
    stopped = None
    if not validates_on_test(cfg):
        chosen = early_exit(scores, labels, calibrate_early_exit(*answers(model, cfg, 'val')).threshold)
        stopped = dict(accuracy=chosen.accuracy, mean_steps=chosen.mean_steps)
    loader = build_loader(cfg, split)
    cost = measure_synops(model, spread_samples(loader, COUNTED))
    neurons = sum(layer.neurons for layer in cost.neurons)
    return dict(figures, early_exit=stopped, firing_rate=cost.firing_rate, macs=cost.multiplied, energy=cost.energy,
                spikes=cost.firing_rate * neurons * cost.time_steps, synops=cost.synops)


def answers(model: torch.nn.Module, cfg: Config, split: str) -> tuple:
    """Class probabilities after each step (T, N, K) and labels (N, ) of a split."""
    logits, labels = predict_steps(model, build_loader(cfg, split, model.dataset_meta))
    return running_scores(logits), labels


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Write what a run prints, and the trace of what it raises, to the end of a file."""
    with open(path, 'a') as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            yield
        except BaseException:
            traceback.print_exc()
            raise


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Let mmengine forget the run that is trained inside: its log files stay open, and its scope stays, otherwise."""
    kinds = [MMLogger, MessageHub, DefaultScope, Visualizer, *Visualizer.__subclasses__()]
    before = {kind: set(kind._instance_dict) for kind in kinds}
    try:
        yield
    finally:
        for kind in kinds:
            for name in set(kind._instance_dict) - before[kind]:
                forget(kind._instance_dict.pop(name))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def forget(instance: ManagerMixin) -> None:
    """Close the files of a logger; nothing for others."""
    for handler in getattr(instance, 'handlers', ()):
        handler.close()
