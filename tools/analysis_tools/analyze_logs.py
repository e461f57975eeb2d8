"""Logs of runs in the terminal: ``python tools/analysis_tools/analyze_logs.py work_dirs/demo``.

A RUN is a work directory, a folder above some, or a file inside one, such as its scalars.json.
"""
import argparse
import os
import sys
from typing import Dict, List

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.runs.folders import Run, find_runs
from bkdsnn.runs.logs import LogSummary, loss_keys, series, step_times
from bkdsnn.visualization.figures import RC, looks_of
from bkdsnn.visualization.terminal import duration, sparkline

TASKS = ('table', 'plot_curve', 'cal_train_time')


def parse_args(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest='task', metavar='TASK', help='table (the default), plot_curve or cal_train_time')
    table = tasks.add_parser('table', help='accuracy, speed, time left and losses of each run')
    curve = tasks.add_parser('plot_curve', help='curves, in the terminal or as a PNG')
    times = tasks.add_parser('cal_train_time', help='time of a training step, by epoch')
    for task in (table, curve, times):
        task.add_argument('runs', nargs='+', metavar='RUN',
                          help='work directory, a folder above some, or a file inside one')
    for task in (table, curve):
        task.add_argument('--keys', nargs='+', help='log keys, such as loss_cls or accuracy/top1')
    curve.add_argument('--out', help='write a picture (.png, .svg, .pdf) instead of drawing in the terminal')
    curve.add_argument('--title', help='of the picture')
    curve.add_argument('--legend', nargs='+', help='names of the curves, run by run and key by key')
    times.add_argument('--include-outliers', action='store_true', help="count each epoch's first step too")
    # As in "analyze_logs.py work_dirs/demo": the task that needs no name.
    if arguments and arguments[0] not in (*TASKS, '-h', '--help'):
        arguments = ['table', *arguments]
    args = parser.parse_args(arguments)
    if args.task is None:
        parser.error('name a run, such as work_dirs/demo')
    return args


def name_runs(runs: List[Run]) -> Dict[str, Run]:
    """Runs by their folder, without what all have in common."""
    paths = [os.path.abspath(run.folder) for run in runs]
    common = os.path.commonpath(paths) if len(paths) > 1 else os.path.dirname(paths[0])
    return {os.path.relpath(path, common): run for path, run in zip(paths, runs)}


def show_table(runs: Dict[str, Run], keys: List[str]) -> None:
    """One row for each run."""
    summaries = {name: LogSummary.of(run) for name, run in runs.items()}
    keys = keys or list(dict.fromkeys(key for run in runs.values() for key in loss_keys(run)))
    table = Table('run', 'done', 'last', 'best', 'at', 's/step', 'trained', 'left', *keys, 'validation')
    for name, summary in summaries.items():
        metric = summary.metric
        table.add_row(
            name, f'{summary.done}/{summary.planned}', number(summary.last, '.2f'), number(summary.best, '.2f'),
            number(summary.best_at, 'd'), number(summary.step_time, '.3f'), duration(summary.elapsed),
            '' if summary.remaining is None else duration(summary.remaining) if summary.remaining else 'done',
            *(number(last_value(runs[name], key), '.4g') for key in keys),
            sparkline(series(runs[name], metric)[1], 12) if metric else '')
    Console(width=None if Console().is_terminal else 140).print(table)
    print(f'last, best: {next((s.metric for s in summaries.values() if s.metric), "no metric yet")} on the validation '
          'data. left: at the speed so far, without validation.')


def number(value, form: str) -> str:
    return '' if value is None else format(value, form)


def last_value(run: Run, key: str):
    try:
        return series(run, key)[1][-1]
    except ValueError:
        return None


def plot_curves(runs: Dict[str, Run], args: argparse.Namespace) -> None:
    """All keys of all runs, drawn in the terminal or into a file."""
    keys = args.keys or ['loss']
    curves = {f'{name} {key}': series(run, key) for name, run in runs.items() for key in keys}
    if args.legend:
        if len(args.legend) != len(curves):
            raise ValueError(f'--legend has {len(args.legend)} names, but there are {len(curves)} curves: '
                             f'{", ".join(curves)}.')
        curves = dict(zip(args.legend, curves.values()))
    if args.out:
        units = {'epoch' if 'max_epochs' in run.config.train_cfg else 'iteration' for run in runs.values()}
        draw_curves(curves, args.title or '', ' or '.join(sorted(units))).savefig(args.out)
        print(f'Wrote {args.out}')
        return
    table = Table('curve', 'first', '', 'last', 'lowest', 'highest', title=args.title)
    for name, (_, values) in curves.items():
        table.add_row(name, f'{values[0]:.4g}', sparkline(values), f'{values[-1]:.4g}', f'{min(values):.4g}',
                      f'{max(values):.4g}')
    Console(width=None if Console().is_terminal else 120).print(table)


def draw_curves(curves: Dict[str, tuple], title: str, unit: str) -> Figure:
    """Picture of curves over epochs, or whatever their unit is."""
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(10, 6), dpi=120, layout='constrained', facecolor='white')
        ax = figure.subplots()
        for (name, (x, values)), look in zip(curves.items(), looks_of(list(curves)).values()):
            ax.plot(x, values, label=name, color=look.colour, linestyle=look.dashes,
                    marker=look.marker if len(x) < 30 else None)
        ax.set(xlabel=unit, title=title)
        ax.grid(axis='y', alpha=0.3)
        ax.legend()
    return figure


def show_times(runs: Dict[str, Run], include_outliers: bool) -> None:
    """Time of a training step: mean, and slowest and fastest epoch."""
    table = Table('run', 's/step', 'std over epochs', 'slowest epoch', 'fastest epoch')
    for name, run in runs.items():
        # The first step of an epoch waits for its workers; where it is all that was logged, it has to do.
        epochs = {epoch: np.mean(times if include_outliers else times[1:] or times)
                  for epoch, times in step_times(run).items()}
        if not epochs:
            raise ValueError(f'{run.folder} has not logged the time of a training step yet.')
        means = list(epochs.values())
        slow, fast = max(epochs, key=epochs.get), min(epochs, key=epochs.get)
        table.add_row(name, f'{np.mean(means):.4f}', f'{np.std(means):.4f}', f'{epochs[slow]:.4f} ({slow})',
                      f'{epochs[fast]:.4f} ({fast})')
    Console(width=None if Console().is_terminal else 120).print(table)


def main() -> None:
    args = parse_args(sys.argv[1:])
    found = {run.folder.absolute(): run for path in args.runs for run in find_runs(path)}
    runs = name_runs(list(found.values()))
    if args.task == 'table':
        show_table(runs, args.keys)
    elif args.task == 'plot_curve':
        plot_curves(runs, args)
    else:
        show_times(runs, args.include_outliers)


if __name__ == '__main__':
    with fail_clearly():
        main()
