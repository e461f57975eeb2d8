"""Compare methods over seeds on the test split: ``python tools/analysis_tools/compare_runs.py work_dirs/demo``.

Reads ``<folder>/<method>/seed<k>`` of all methods and the folders ``<folder>/teacher*``, prints a table and writes
``<folder>/summary.json``.
"""
import argparse
import json
import statistics
from pathlib import Path
from typing import List

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bkdsnn import init_model
from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.runs.folders import Run

# The order of the table; others follow.
METHODS = ('plain', 'kd', 'wsld', 'bkd', 'mixed')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder with one folder per method')
    return parser.parse_args()


def seed_of(folder: Path) -> int:
    return int(folder.name.removeprefix('seed'))


def test_accuracy(run: Run) -> float:
    """Top-1 accuracy of a finished run's last checkpoint on the test split, in percent."""
    if not run.finished:
        raise ValueError(f'{run.folder} is not finished (epoch {run.epoch} of {run.config.train_cfg.max_epochs}); '
                         f'finish it with python tools/train.py {run.config.filename} --work-dir {run.folder} --resume')
    return evaluate(init_model(run.config, str(run.checkpoint)), 'test')


def summarise(folder: Path) -> dict:
    """Test accuracies of all runs in a folder."""
    others = sorted({path.parent.name for path in folder.glob('*/seed*')} - set(METHODS))
    runs = {name: [Run.open(p) for p in sorted((folder / name).glob('seed*'), key=seed_of)]
            for name in (*METHODS, *others)}
    runs = {name: found for name, found in runs.items() if found}
    if 'plain' not in runs:
        raise FileNotFoundError(f'{folder} holds no runs of the plain student (plain/seed0, ...); run make demo.')
    seeds = {name: [seed_of(run.folder) for run in found] for name, found in runs.items()}
    for name, own in seeds.items():
        if own != seeds['plain']:
            raise ValueError(f'{name} has the seeds {own} but plain has {seeds["plain"]}, so their runs cannot be '
                             'paired. Train the same seeds of both with tools/train_seeds.py.')
    total = [(name, run) for name, found in runs.items() for run in found]
    accuracies = {name: [] for name in runs}
    for name, run in track(total, 'Testing', console=Console(stderr=True)):
        accuracies[name].append(test_accuracy(run))
    methods = {name: dict(accuracy=accuracies[name], lr=found[0].config.optim_wrapper.optimizer.lr)
               for name, found in runs.items()}
    teachers = {path.name: test_accuracy(Run.open(path)) for path in sorted(folder.glob('teacher*'))}
    if not teachers:
        raise FileNotFoundError(f'{folder} holds no teacher (a folder teacher or teacher_<name>).')
    return dict(teachers=teachers, methods=methods)


def spread(values: List[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def paired_gain(values: List[float], plain: List[float]) -> str:
    """Mean and standard error of the differences between runs of the same seed."""
    gains = [a - b for a, b in zip(values, plain)]
    return f'{statistics.mean(gains):+.2f} ± {spread(gains) / len(gains)**0.5:.2f}'


def print_table(summary: dict) -> None:
    plain = summary['methods']['plain']['accuracy']
    table = Table('method', 'lr', 'test accuracy %', 'gain over plain, paired', 'each seed',
                  title='mean ± std over seeds; gain: mean ± standard error')
    for name, accuracy in summary['teachers'].items():
        table.add_row(name, '', f'{accuracy:.2f}', '', '')
    for name, method in summary['methods'].items():
        values = method['accuracy']
        table.add_row(name, f'{method["lr"]:g}', f'{statistics.mean(values):.2f} ± {spread(values):.2f}',
                      '' if name == 'plain' else paired_gain(values, plain),
                      ' '.join(f'{v:.1f}' for v in values))
    Console(width=None if Console().is_terminal else 120).print(table)


def main() -> None:
    folder = Path(parse_args().folder)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    summary = summarise(folder)
    (folder / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    print_table(summary)


if __name__ == '__main__':
    with fail_clearly():
        main()
