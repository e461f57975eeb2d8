"""Compare methods on a pair of student and teacher: ``python tools/compare_methods.py PAIR --methods plain kd mixed``.

Each method is tuned with the same number of points on the validation split, trained with the same seeds, and tested on
the test split. The same command goes on where it was interrupted.
"""
import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import MMLogger
from rich.console import Console

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.comparison import Plan
from bkdsnn.comparison.launch import EXECUTORS, compare, look
from bkdsnn.comparison.origin import now
from bkdsnn.comparison.pictures import write_pictures
from bkdsnn.comparison.render import NOTE, footnotes, rich_table, write


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('pair', help='name of a pair, or path of a config; see tools/list_experiments.py')
    parser.add_argument('--methods', nargs='+', required=True, metavar='METHOD',
                        help='names of methods, or paths of files with losses; plain is the student alone')
    parser.add_argument('--neurons', nargs='+', default=(), metavar='NEURON',
                        help="names of neurons for the student, or paths of files with one: each method with each of "
                             'them; the pair\'s own without')
    parser.add_argument('--vary', nargs='+', action=DictAction, default={}, metavar='K=V1,V2',
                        help='values to compare with each other, as losses.loss_bkd.blur_ratio=0,0.15,0.5 of the '
                             'methods that have this loss, or optim_wrapper.optimizer.lr=0.1,0.3 of all; [1,2] is two '
                             'values, too')
    parser.add_argument('--seeds', type=int, default=5, help='how many seeds each method is trained with (5)')
    parser.add_argument('--points', type=int, default=9,
                        help='how many settings of each method are tried (9); 0 takes those of the configs')
    parser.add_argument('--tune-seeds', type=int, default=2, help='how many seeds each of them is trained with (2)')
    parser.add_argument('--finalists', type=int, default=0,
                        help='how many of the best settings get more seeds before one is chosen (0)')
    parser.add_argument('--final-seeds', type=int, default=6, help='how many more (6)')
    parser.add_argument('--tune-on', metavar='PAIR',
                        help='another pair whose search chooses the settings, as one of fewer data (the pair itself)')
    parser.add_argument('--executor', choices=EXECUTORS, default='local',
                        help='local: processes on this machine; slurm: jobs of a cluster; none: this process')
    parser.add_argument('--jobs', type=int,
                        help='how many workers; by default one for each GPU, else for each core (slurm: 1)')
    parser.add_argument('--slurm', nargs='+', action=DictAction, default={}, metavar='K=V',
                        help="submitit's parameters for each job, as slurm_partition=gpu timeout_min=600")
    parser.add_argument('--out', help='folder for results (work_dirs/compare/<pair>)')
    parser.add_argument('--table', action='store_true', help='train nothing; only write the table of what is finished')
    parser.add_argument('--keep', action='store_true', help='keep the work directories of the seeds, for reports')
    parser.add_argument('--retry-failed', action='store_true', help='train once more what has failed before')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='K=V',
                        help='settings of the pair to override, for all methods')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    out = args.out or str(Path('work_dirs') / 'compare' / Path(args.pair).stem)
    plan = Plan(args.pair, tuple(args.methods), out, args.seeds, args.points, args.tune_seeds, args.cfg_options,
                args.keep, now() if args.retry_failed else None, tuple(args.neurons),
                {key: tuple(values) if isinstance(values, list) else (values, ) for key, values in args.vary.items()},
                args.finalists, args.final_seeds, args.tune_on)
    # The file as it is now: what runs print is led elsewhere.
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
    standings = look(plan) if args.table else compare(plan, args.executor, args.jobs, args.slurm, console)
    write(standings)
    console.print(rich_table(standings))
    for note in (NOTE, *footnotes(standings)):
        console.print(note, markup=False, highlight=False)
    files = ['table.md', 'summary.json', *write_pictures(standings, Path(out))]
    console.print(f'Wrote {", ".join(files)} into {out}.', highlight=False)


if __name__ == '__main__':
    with fail_clearly('The same command goes on where it was.'):
        main()
