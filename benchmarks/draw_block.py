"""Where BKD's restoration block dies: ``python benchmarks/draw_block.py``.

Trains the digits' student with BKD alone, its block at the student's rate and at a tenth of it. Drawn is the distance
between the restored and the teacher's maps over the epochs, beside the one that is reached by the same map for all
samples, the mean of the teacher's: ``docs/_static/block.svg``. ``benchmarks/results/block.json`` has it in figures,
with how many of the block's channels no sample of the training data brings above zero after training.
"""
import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from pictures import picture
from rich.console import Console
from rich.progress import track

from bkdsnn.apis.cli import build_checked_runner, fail_clearly, positive
from bkdsnn.comparison.origin import machine, now, versions
from bkdsnn.config.files import read_config_file
from bkdsnn.config.methods import apply_method, find_pair
from bkdsnn.utils.atomic import write_json

BENCHMARKS = Path(__file__).resolve().parent
PICTURE, RESULTS = BENCHMARKS.parent / 'docs' / '_static' / 'block.svg', BENCHMARKS / 'results' / 'block.json'
PAIR = 'sew-resnet-t2_resnet_digits'
TEACHER = BENCHMARKS.parent / 'configs' / 'demo' / 'weights' / 'teacher-1b5d4f7b.pth'
# Rate of the student and weight of the loss, beyond which the block dies at the student's rate.
RATE, WEIGHT, FACTORS = 1.0, 0.02, (1.0, 0.1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seeds', type=positive, default=6, help='of each (6)')
    parser.add_argument('--epochs', type=positive, help="as the pair's")
    return parser.parse_args()


class Watch(Hook):
    """Notes the distance of each epoch, without the loss's weight."""

    def __init__(self) -> None:
        self.distances: List[List[float]] = []

    def before_train_epoch(self, runner: Runner) -> None:
        """A new epoch."""
        self.distances.append([])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict = None, outputs: dict = None) -> None:
        """A step."""
        self.distances[-1].append(float(outputs['loss_bkd']) / WEIGHT)


def config_of(factor: float, seed: int, epochs: Optional[int], folder: str) -> Config:
    """The student with BKD alone, its block at a factor of its rate."""
    cfg = read_config_file(find_pair(PAIR))
    apply_method(cfg, 'bkd')
    cfg.merge_from_dict({
        'optim_wrapper.optimizer.lr': RATE, 'model.losses.loss_bkd.loss_weight': WEIGHT,
        'model.losses.loss_bkd.lr_mult': factor, 'model.teacher.checkpoint': str(TEACHER), 'randomness.seed': seed,
        'model.teacher.expected_accuracy': None, 'work_dir': folder, 'experiment_name': folder, 'log_level': 'ERROR',
        'default_hooks.checkpoint': None})
    if epochs:
        cfg.merge_from_dict({'train_cfg.max_epochs': epochs, 'param_scheduler.T_max': epochs})
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    return cfg


@torch.no_grad()
def look_at(runner: Runner) -> Dict[str, float]:
    """The trained block on the training data: its dead channels, and the teacher's variance."""
    model = runner.model.eval()
    loss, alive, teachers = model.losses.loss_bkd, [], []
    handles = [loss.restore[1].register_forward_hook(lambda *seen: alive.append((seen[2] > 0).any(0).any(-1).any(-1))),
               loss.register_forward_hook(lambda *seen: teachers.append(seen[1][1]))]
    for batch in runner.train_dataloader:
        model(**model.data_preprocessor(batch, True), mode='loss')
    for handle in handles:
        handle.remove()
    alive, teachers = torch.stack(alive).any(0), torch.cat(teachers)
    return dict(channels=len(alive), dead=int((~alive).sum()),
                teacher_variance=(teachers - teachers.mean(0)).square().flatten(1).sum(1).mean().item())


def train(factor: float, seed: int, epochs: Optional[int]) -> dict:
    """One run."""
    with tempfile.TemporaryDirectory() as folder:
        runner = build_checked_runner(config_of(factor, seed, epochs, folder))
        watch = Watch()
        runner.register_hook(watch)
        runner.train()
        return dict(lr_mult=factor, seed=seed, distance=[round(statistics.mean(epoch), 2) for epoch in watch.distances],
                    **look_at(runner))


def draw(path: Path, runs: List[dict]) -> None:
    """The distance over epochs, a line for each run."""
    with picture(path, (6.4, 3.6)) as figure:
        ax = figure.subplots()
        for index, factor in enumerate(FACTORS):
            for run in (run for run in runs if run['lr_mult'] == factor):
                first = run['seed'] == 0
                ax.plot(range(1, len(run['distance']) + 1), run['distance'], color=f'C{index}', linewidth=1,
                        label=f'lr_mult={factor:g}' if first else None)
        ax.axhline(statistics.mean(run['teacher_variance'] for run in runs), color='black', linestyle='--', linewidth=1,
                   label='one map for all samples')
        ax.set(xlabel='epoch', ylabel='squared distance', yscale='log')
        ax.legend()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    console = Console()
    todo = [(factor, seed) for factor in FACTORS for seed in range(args.seeds)]
    runs = [train(*one, args.epochs) for one in track(todo, 'Training', console=console, transient=True)]
    draw(PICTURE, runs)
    write_json(RESULTS, dict(pair=PAIR, method='bkd', lr=RATE, loss_weight=WEIGHT, runs=runs, machine=machine(),
                             versions=versions(), date=now()))
    for run in runs:
        first, last = run['distance'][0], run['distance'][-1]
        console.print(f'lr_mult={run["lr_mult"]:g} seed {run["seed"]}: {run["dead"]} of {run["channels"]} channels are '
                      f'dead, the distance went from {first:.0f} to {last:.0f}; one map for all samples has '
                      f'{run["teacher_variance"]:.0f}.', highlight=False)


if __name__ == '__main__':
    with fail_clearly():
        main()
