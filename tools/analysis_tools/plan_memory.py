"""Peak memory of a training step, and where it sits: ``python tools/analysis_tools/plan_memory.py CONFIG``.

The step is predicted for any batch size; nothing is loaded, and nothing but shapes is computed.
"""
import argparse
import re
from typing import Dict, Iterator, List, Optional

from mmengine.config import DictAction
from mmengine.logging import MMLogger
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly, file_to_write, positive, read_config
from bkdsnn.config.checks import check_config
from bkdsnn.evaluation import MemoryPlan, MemoryPlanner, largest_batch
from bkdsnn.utils.atomic import write_json

UNITS = dict(K=2**10, M=2**20, G=2**30, T=2**40)
BAR = 24  # characters


def bytes_of(text: str) -> int:
    """Type of an argument such as ``24G``."""
    found = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?', text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f'{text!r} is no size; give a number and a unit, such as 24G or 800M.')
    return int(float(found[1]) * UNITS[found[2].upper()])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--batch-size', type=positive, help='of each process; default: as the config says')
    parser.add_argument('--gpus', type=positive, default=1, help='number of processes (1)')
    parser.add_argument('--max-memory', type=bytes_of, help='of each process, such as 24G: which batch size fits?')
    parser.add_argument('--amp', action='store_true', help='in mixed precision, as with --amp in training')
    parser.add_argument('--shape', type=positive, nargs='+',
                        help='of one sample: C H W of an image or T P H W of event frames; default: as the config says')
    parser.add_argument('--top', type=positive, default=10, help='how many modules to list (10)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings to override, as in training')
    parser.add_argument('--json', type=file_to_write, help='also write all figures to this file')
    return parser.parse_args()


def mebibytes(size: int) -> str:
    return f'{size / 2**20:,.1f}'


def table_of(title: str, sizes: Dict[str, int], total: int) -> Table:
    table = Table(title, 'MiB', '%', '')
    for column in table.columns[1:3]:
        column.justify = 'right'
    for name, size in sizes.items():
        table.add_row(name, mebibytes(size), f'{100 * size / total:.1f}', Bar(total, 0, size, width=BAR))
    return table


def report(console: Console, plan: MemoryPlan, top: int, gpus: int) -> None:
    total = f', {gpus} processes, {gpus * plan.batch_size} in all' if gpus > 1 else ''
    console.print(f'Peak of a training step{" in each process" if gpus > 1 else ""}: {mebibytes(plan.peak)} MiB '
                  f'(batch size {plan.batch_size}{total})')
    console.print(table_of('at the peak', plan.parts, plan.peak))
    kept = sum(plan.modules.values())
    largest = dict(list(plan.modules.items())[:top])
    rest = kept - sum(largest.values())
    console.print(table_of('kept by forward', {**largest, **({'all others': rest} if rest else {})}, kept))


def choices(planner: MemoryPlanner) -> Iterator[str]:
    """Bring a planner into one state after another, each with other switches that change memory; gives their names."""
    uses_amp, can_compress = planner.amp, planner.can_compress
    yield 'as configured'
    planner.amp = not uses_amp
    yield 'in fp32' if uses_amp else 'with --amp'
    planner.amp = uses_amp
    if can_compress:
        planner.compress_spikes()
        yield 'with compress_spikes=True in the student'
        planner.amp = not uses_amp
        yield 'with both'


def table_of_choices(found: List[dict], max_memory: Optional[int]) -> Table:
    table = Table('', 'peak, MiB', '%', *([f'largest batch in {mebibytes(max_memory)} MiB'] if max_memory else []))
    for row in found:
        largest = [str(row['largest_batch'] or 'not even 1')] if max_memory else []
        table.add_row(row['name'], mebibytes(row['peak']), f'{100 * row["peak"] / found[0]["peak"]:.0f}', *largest)
    return table


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    cfg = read_config(args)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.shape and len(args.shape) not in (3, 4):
        raise ValueError(f'--shape {" ".join(map(str, args.shape))} must be C H W, or T P H W for event frames.')
    check_config(cfg)
    batch_size = args.batch_size or cfg.train_dataloader.batch_size
    planner = MemoryPlanner(cfg, tuple(args.shape or ()) or None, args.gpus)
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    found = []
    for name in choices(planner):
        plan = planner.plan(batch_size)
        if not found:
            report(console, plan, args.top, args.gpus)
        fits = args.max_memory and largest_batch(lambda size: planner.plan(size).peak, args.max_memory, batch_size)
        found.append(dict(name=name, peak=plan.peak, largest_batch=fits, parts=plan.parts, modules=plan.modules))
    console.print(table_of_choices(found, args.max_memory))
    if args.json:
        write_json(args.json, dict(config=args.config, batch_size=batch_size, gpus=args.gpus,
                                   max_memory=args.max_memory, choices=found))


if __name__ == '__main__':
    with fail_clearly():
        main()
