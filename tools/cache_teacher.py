"""Fill a config's teacher cache ahead of training: ``python tools/cache_teacher.py CONFIG``.

Training fills it too, while it runs the epochs that draw anew.
"""
import argparse
import os
import sys

from bkdsnn.apis.cli import add_common_arguments, disconnected_afterwards, fail_clearly, load_config, positive
from bkdsnn.engine.cache_filling import check_teacher, fill, fill_in_processes, prepare, show
from bkdsnn.engine.teacher_cache import cache_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='train config file path, or the name of a pair; see tools/list_experiments.py')
    parser.add_argument(
        '--method', help='take a pair, or the pair of an experiment, with the losses of this method instead')
    parser.add_argument('--processes', type=positive, default=1, help='number of processes that fill the cache')
    parser.add_argument(
        '--training-processes', type=positive, default=1, help='number of processes that training will have')
    parser.add_argument('--part', help=argparse.SUPPRESS)  # of a process that this tool starts: which of how many
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    runner = prepare(load_config(args), args.training_processes)
    if args.part is not None:
        part, parts = map(int, args.part.split('/'))
        for _ in fill(runner, part, parts):
            pass
        return
    files = cache_of(runner).files
    claim = files.claim
    print(f'{files.folder}: {claim.batches:,} batches, {claim.epochs:,} epochs of {claim.steps:,} steps in '
          f'{claim.processes} processes; {claim.total_bytes / 1e9:,.3f} GB when it is full')
    check_teacher(runner)
    if args.processes == 1:
        steps = fill(runner)
    else:
        steps = fill_in_processes([os.path.abspath(__file__), *sys.argv[1:]], args.processes, files.folder)
    show(files, steps)
    print(f'{files.folder}: {int(files.done.sum()):,} of {claim.batches:,} batches, '
          f'{files.stored_bytes / 1e9:,.3f} GB')


if __name__ == '__main__':
    with fail_clearly(), disconnected_afterwards():
        main()
