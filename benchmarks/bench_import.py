"""How long imports take, against mmpretrain, and training until its first step: ``python benchmarks/bench_import.py``.

Every import is that of a fresh interpreter, one of each in turn. ``import torch`` is part of all of them. Training is
``tools/train.py`` from its start until the first step is logged.

The last line is a JSON object: ``import_extra_s`` is the median of ``import bkdsnn.apis`` less that of
``import mmpretrain``, negative where ours is faster, ``import_extra_min_s`` that of the minima, and
``predictor_extra_s`` the same for what also brings data sets and models with it, on both sides.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

from rich.console import Console
from rich.table import Table
from timing import environment, interleaved

REPOSITORY = Path(__file__).parent.parent
IMPORTS = dict(
    mmpretrain='import mmpretrain',
    mmpretrain_parts='import mmpretrain.datasets, mmpretrain.models',
    apis='import bkdsnn.apis',
    predictor='from bkdsnn.apis import SpikingInferencer',
    torch='import torch')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=10, help='of each import')
    parser.add_argument('--train-repeats', type=int, default=3, help='of starting to train; 0 leaves it out')
    parser.add_argument('--config', default=str(REPOSITORY / 'configs/demo/plain.py'), help='what to train')
    return parser.parse_args()


def child(*arguments: str, **options) -> subprocess.Popen:
    """A fresh interpreter that finds this package."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get('PYTHONPATH')]))
    return subprocess.Popen([sys.executable, '-W', 'ignore', *arguments], env=dict(os.environ, PYTHONPATH=path),
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def run_import(statement: str) -> Callable[[], None]:
    """Runs a statement in a fresh interpreter."""
    def run() -> None:
        process = child('-c', statement)
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f'{statement!r} failed: {output[-2000:]}')
    return run


def start_training(config: str) -> Callable[[], None]:
    """Runs ``tools/train.py`` until it logs its first step."""
    def run() -> None:
        lines = []
        with tempfile.TemporaryDirectory() as work_dir:
            process = child('-u', str(REPOSITORY / 'tools' / 'train.py'), config, '--work-dir', work_dir,
                            '--cfg-options', 'default_hooks.logger.interval=1')
            for line in process.stdout:
                lines.append(line)
                if 'Epoch(train)' in line:
                    break
            process.kill()
            process.communicate()
        if 'Epoch(train)' not in lines[-1]:
            raise RuntimeError(f'training {config} failed: {"".join(lines)[-2000:]}')
    return run


def main() -> None:
    args = parse_args()
    seconds = interleaved({name: run_import(statement) for name, statement in IMPORTS.items()}, args.repeats)
    if args.train_repeats:
        seconds.update(interleaved(dict(train=start_training(args.config)), args.train_repeats))
    median, least = ({name: pick(values) for name, values in seconds.items()} for pick in (statistics.median, min))
    table = Table('in a fresh interpreter', 'seconds (min)')
    for name, statement in dict(IMPORTS, train='tools/train.py until its first step').items():
        if name in median:
            table.add_row(statement, f'{median[name]:.2f} ({least[name]:.2f})')
    Console(width=120).print(table)
    print(json.dumps(dict(
        import_extra_s=median['apis'] - median['mmpretrain'], import_extra_min_s=least['apis'] - least['mmpretrain'],
        predictor_extra_s=median['predictor'] - median['mmpretrain_parts'],
        predictor_extra_min_s=least['predictor'] - least['mmpretrain_parts'],
        train_start_s=median.get('train'), median_s=median, minimum_s=least, cores=os.cpu_count(), **environment())))


if __name__ == '__main__':
    main()
