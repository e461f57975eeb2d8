"""Search learning rates on the validation split: ``python tools/tune.py CONFIG [CONFIG ...]``.

Every config gets the same grid and the same seeds, which are not those of the comparison; the test split is not used.
"""
import argparse
import statistics

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.apis.launch import Training, run_all
from bkdsnn.utils.runs import Run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='train config file paths')
    parser.add_argument('--lr', nargs='+', type=float, default=[0.1, 0.2, 0.3, 0.6, 1.0], help='the grid')
    parser.add_argument('--seeds', nargs='+', type=int, default=[100, 101, 102], help='seeds of each point')
    parser.add_argument('--jobs', type=int, default=2, help='how many runs at a time')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    points = {}
    for config in args.configs:
        base = Config.fromfile(config).work_dir
        for lr in args.lr:
            points[config, lr] = [Training(config, f'{base}/tune/lr{lr:g}-seed{seed}',
                                           {'randomness.seed': seed, 'optim_wrapper.optimizer.lr': lr})
                                  for seed in args.seeds]
    run_all([training for trainings in points.values() for training in trainings], args.jobs, 'Tuning')
    table = Table('config', *[f'lr {lr:g}' for lr in args.lr], 'best', 'in the config',
                  title='validation accuracy, mean ± std over seeds')
    for config in args.configs:
        scores = {lr: [Run.open(t.work_dir).val_accuracy() for t in points[config, lr]] for lr in args.lr}
        best = max(args.lr, key=lambda lr: statistics.mean(scores[lr]))
        cells = [f'{statistics.mean(s):.2f} ± {statistics.stdev(s) if len(s) > 1 else 0:.2f}' for s in scores.values()]
        table.add_row(config, *cells, f'{best:g}', f'{Config.fromfile(config).optim_wrapper.optimizer.lr:g}')
    Console(width=None if Console().is_terminal else 160).print(table)


if __name__ == '__main__':
    with fail_clearly():
        main()
