"""What a training becomes on more GPUs: ``python tools/analysis_tools/plan_scaling.py CONFIG --gpus 1 2 4 8``.

Everything is computed from the config and the shapes of its networks; nothing is measured.
"""
import argparse
from dataclasses import asdict
from typing import List

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from rich.console import Console
from rich.table import Table

from bkdsnn.apis.cli import fail_clearly, file_to_write, positive, read_config
from bkdsnn.config.checks import check_config
from bkdsnn.config.checks.on_disk import check_data
from bkdsnn.config.checks.parts import parts_of
from bkdsnn.evaluation import Scale, plan_scales, repeated_epochs
from bkdsnn.registry import DATASETS
from bkdsnn.utils.atomic import write_json


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--gpus', type=positive, nargs='+', default=[1, 2, 4, 8, 16, 32, 64],
                        help='numbers of processes (1 2 4 8 16 32 64)')
    parser.add_argument('--batch-size', type=positive, help='of each process; default: as the config says')
    parser.add_argument('--total-batch-size', type=positive, help='of all processes, instead')
    parser.add_argument('--samples', type=positive, help='of the training data; default: the data set is asked')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings to override, as in training')
    parser.add_argument('--json', type=file_to_write, help='also write all figures to this file')
    return parser.parse_args()


def samples_of(cfg: Config) -> int:
    try:
        check_data(cfg, list(parts_of(cfg)), ['train'])
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'bkdsnn')):
            return len(DATASETS.build(cfg.train_dataloader.dataset))
    except (ValueError, OSError) as error:
        raise ValueError(f'{error} With --samples N no data are needed.') from error


def table_of(scales: List[Scale], epochs: int) -> Table:
    table = Table('GPUs', 'batch', 'samples / update', 'learning rate', 'steps / epoch', 'memory, MiB',
                  'sent / update, MiB', 'sent / epoch, GiB', title_justify='left',
                  title='Computed, not measured. Batch, memory and what is sent are of each GPU.')
    kept = any(scale.cache is not None for scale in scales)
    if kept:
        table.add_column(f'teacher cache, GiB ({epochs} epoch{"s" * (epochs > 1)})')
    for column in table.columns:
        column.justify = 'right'
    for scale in scales:
        table.add_row(
            f'{scale.gpus}', f'{scale.batch_size:,}', f'{scale.samples:,}', '' if scale.lr is None else f'{scale.lr:g}',
            f'{scale.steps:,}', f'{scale.memory / 2**20:,.0f}', f'{scale.sent / 2**20:,.1f}',
            f'{scale.sent_in_epoch / 2**30:,.2f}', *([f'{scale.cache / 2**30:,.2f}'] if kept else []))
    return table


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    cfg = read_config(args)
    check_config(cfg)
    if args.batch_size:
        cfg.train_dataloader.batch_size = args.batch_size
    samples = args.samples or samples_of(cfg)
    scales = list(plan_scales(cfg, samples, args.gpus, args.total_batch_size))
    console = Console(width=None if Console().is_terminal else 120, highlight=False, markup=False)
    console.print(table_of(scales, repeated_epochs(cfg)))
    if args.json:
        write_json(args.json, dict(config=args.config, samples=samples, scales=list(map(asdict, scales))))


if __name__ == '__main__':
    with fail_clearly():
        main()
