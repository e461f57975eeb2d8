"""Search settings on the validation split: ``python tools/tune.py CONFIG --grid KEY=V1,V2 [KEY=V1,V2 ...]``.

The seeds are not those of the comparison and the test split is not used.
"""
import argparse
import itertools
import re
import statistics
from typing import Dict, List, Union

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly, positive
from bkdsnn.apis.launch import Training, run_all
from bkdsnn.config.checks import found_at
from bkdsnn.config.files import read_config_file
from bkdsnn.runs.folders import Run, default_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--grid', nargs='+', required=True, help='settings and their values, as key=1,2,3')
    parser.add_argument('--seeds', nargs='+', type=int, default=[100, 101, 102], help='seeds of each point')
    parser.add_argument('--jobs', type=positive, default=2, help='how many runs at a time')
    return parser.parse_args()


def grid_points(grid: List[str], cfg: Config) -> List[Dict[str, Union[int, float]]]:
    """Every combination of the grid's values; where the config has a whole number, those that are whole are, too."""
    axes = {}
    for axis in grid:
        key, _, values = axis.partition('=')
        whole = type(found_at(cfg, key)) is int
        try:
            axes[key] = [int(value) if whole and re.fullmatch(r'\s*[+-]?\d+\s*', value) else float(value)
                         for value in values.split(',')]
        except ValueError:
            raise ValueError(f'--grid {axis!r} must be key=number,number') from None
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def accuracy_of(run: Run) -> float:
    """The last accuracy of a run on the validation split, in percent.

    Raises:
        ValueError: If it has logged none.
    """
    accuracy = run.val_accuracy()
    if accuracy is None:
        raise ValueError(f'{run.folder} has logged no accuracy/top1, by which points are compared; have '
                         'val_evaluator=dict(type=\'Accuracy\') with 1 in its topk.')
    return accuracy


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    if cfg.get('val_cfg') is None:
        raise ValueError(f'{args.config} has no val_cfg, and points are compared on the validation split.')
    points = grid_points(args.grid, cfg)
    work_dir = cfg.get('work_dir') or default_work_dir(args.config)
    trainings = []
    for point in points:
        name = '-'.join(f'{key.split(".")[-1]}{value:g}' for key, value in point.items())
        trainings.append([Training(args.config, f'{work_dir}/tune/{name}-seed{seed}',
                                   {'randomness.seed': seed, **point}) for seed in args.seeds])
    run_all(list(itertools.chain(*trainings)), args.jobs, f'Tuning {args.config}')
    scores = [[accuracy_of(Run.open(training.work_dir)) for training in runs] for runs in trainings]
    best = max(range(len(points)), key=lambda i: statistics.mean(scores[i]))
    table = Table(*points[0], 'validation accuracy %', '',
                  title=f'{args.config}: mean ± std over {len(args.seeds)} seeds')
    for i, (point, values) in enumerate(zip(points, scores)):
        in_config = all(found_at(cfg, key) == value for key, value in point.items())
        marks = [mark for mark, holds in (('best', i == best), ('in the config', in_config)) if holds]
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        table.add_row(*[f'{value:g}' for value in point.values()], f'{statistics.mean(values):.2f} ± {std:.2f}',
                      ', '.join(marks))
    Console(width=None if Console().is_terminal else 140).print(table)


if __name__ == '__main__':
    with fail_clearly('The same command goes on with it.'):
        main()
