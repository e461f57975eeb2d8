"""Look at the samples of a config: ``python tools/visualization/browse_dataset.py CONFIG``.

Of each, a picture of what every transform did to it, and for events animations of the recording and of the frames.
"""
import argparse
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmengine.utils import track_iter_progress

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.config.checks import check_config
from bkdsnn.config.data import loader_config, without
from bkdsnn.config.files import read_config_file
from bkdsnn.registry import DATASETS
from bkdsnn.visualization.browse import FORMATS, save_sample


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--phase', choices=['train', 'val', 'test'], default='train', help='whose data loader')
    parser.add_argument('--show-number', type=int, default=8, help='how many samples, spread over the data set')
    parser.add_argument('--output-dir', help='default: work_dirs/browse/<config>/<phase>')
    parser.add_argument('--format', choices=FORMATS, default='gif', help='of the animations')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    check_config(cfg)
    init_default_scope(cfg.get('default_scope', 'bkdsnn'))  # where a pipeline's transforms are looked up
    dataset = DATASETS.build(without(loader_config(cfg, args.phase).dataset, 'cache_dir'))
    if args.show_number < 1:
        raise ValueError(f'--show-number {args.show_number} must be at least 1.')
    folder = Path(args.output_dir or f'work_dirs/browse/{Path(args.config).stem}/{args.phase}')
    folder.mkdir(parents=True, exist_ok=True)
    set_random_seed(args.seed)
    number = min(args.show_number, len(dataset))
    for idx in track_iter_progress(np.linspace(0, len(dataset) - 1, number).astype(int).tolist()):
        save_sample(dataset, idx, folder, args.format)
    print(f'\n{number} of {len(dataset)} samples are drawn in {folder}')


if __name__ == '__main__':
    with fail_clearly():
        main()
