"""Search settings on the validation split: ``python tools/tune.py CONFIG --grid KEY=V1,V2 [KEY=V1,V2 ...]``.

The seeds are not those of the comparison and the test split is not used.
"""
import argparse
import itertools
import statistics
from typing import Dict, List

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly, positive
from bkdsnn.apis.launch import Training, run_all
from bkdsnn.config.files import read_config_file
from bkdsnn.runs.folders import Run, default_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--grid', nargs='+', required=True, help='settings and their values, as key=1,2,3')
    parser.add_argument('--seeds', nargs='+', type=int, default=[100, 101, 102], help='seeds of each point')
    parser.add_argument('--jobs', type=positive, default=2, help='how many runs at a time')
    return parser.parse_args()


def grid_points(grid: List[str]) -> List[Dict[str, float]]:
    """Every combination of the grid's values."""
    axes = {}
    for axis in grid:
        key, _, values = axis.partition('=')
        try:
            axes[key] = [float(value) for value in values.split(',')]
        except ValueError:
            raise ValueError(f'--grid {axis!r} must be key=number,number') from None
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    points = grid_points(args.grid)
    work_dir = cfg.get('work_dir') or default_work_dir(args.config)
    trainings = []
    for point in points:
        name = '-'.join(f'{key.split(".")[-1]}{value:g}' for key, value in point.items())
        trainings.append([Training(args.config, f'{work_dir}/tune/{name}-seed{seed}',
                                   {'randomness.seed': seed, **point}) for seed in args.seeds])
    run_all(list(itertools.chain(*trainings)), args.jobs, f'Tuning {args.config}')
    scores = [[Run.open(training.work_dir).val_accuracy() for training in runs] for runs in trainings]
    best = max(range(len(points)), key=lambda i: statistics.mean(scores[i]))
    table = Table(*points[0], 'validation accuracy %', '',
                  title=f'{args.config}: mean ± std over {len(args.seeds)} seeds')
    for i, (point, values) in enumerate(zip(points, scores)):
        in_config = all(_get(cfg, key) == value for key, value in point.items())
        marks = [mark for mark, holds in (('best', i == best), ('in the config', in_config)) if holds]
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        table.add_row(*[f'{value:g}' for value in point.values()], f'{statistics.mean(values):.2f} ± {std:.2f}',
                      ', '.join(marks))
    Console(width=None if Console().is_terminal else 140).print(table)


def _get(cfg: Config, key: str):
    for part in key.split('.'):
        cfg = cfg[part]
    return cfg


if __name__ == '__main__':
    with fail_clearly():
        main()
