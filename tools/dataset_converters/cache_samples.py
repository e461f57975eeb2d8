"""Fill the caches of a config ahead of training: ``python tools/dataset_converters/cache_samples.py CONFIG``.

Training fills them too, while it runs the first epoch.
"""
import argparse
from typing import List, Tuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch.utils.data import DataLoader

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.config.checks import check_config
from bkdsnn.config.checks.places import LOADERS
from bkdsnn.config.data import datasets_in
from bkdsnn.config.files import read_config_file
from bkdsnn.datasets.cached_pipeline import CachedPipeline
from bkdsnn.registry import DATASETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file path')
    parser.add_argument('--cache-dir', help='folder of the caches, instead of the config\'s cache_dir')
    parser.add_argument('--rebuild', action='store_true', help='make all samples anew')
    parser.add_argument('--workers', type=int, default=2, help='number of processes')
    return parser.parse_args()


class _Samples:
    """The samples of a data set, one by one, for the workers of a data loader."""

    def __init__(self, dataset: CachedPipeline, rebuild: bool) -> None:
        self.dataset, self.rebuild = dataset, rebuild

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> bool:
        self.dataset.fill(idx, self.rebuild)
        return True


def cached_datasets(cfg: Config) -> List[Tuple[str, CachedPipeline]]:
    """Of each loader, the data sets that have a cache, also inside wrappers; those that are the same count once."""
    found, seen = [], []
    for name in LOADERS:
        for dataset in datasets_in((cfg.get(name) or {}).get('dataset') or []):
            if dataset.get('cache_dir') is not None and dataset not in seen:
                seen.append(dataset)
                found.append((name, DATASETS.build(dataset)))
    return found


def main() -> None:
    args = parse_args()
    cfg = read_config_file(args.config)
    for name in LOADERS:
        for dataset in datasets_in((cfg.get(name) or {}).get('dataset') or []):
            if args.cache_dir is not None:
                dataset['cache_dir'] = args.cache_dir
    check_config(cfg)
    init_default_scope(cfg.get('default_scope', 'bkdsnn'))  # where a pipeline's transforms are looked up
    datasets = cached_datasets(cfg)
    if not datasets:
        raise ValueError(f'{args.config}: no data set of it has a cache_dir. Set it in the config, or give '
                         '--cache-dir.')
    for name, dataset in datasets:
        if not isinstance(dataset, CachedPipeline):
            raise ValueError(f'{name}.dataset is a {type(dataset).__name__}, whose cache this tool does not '
                             'know. Inherit from CachedPipeline.')
        print(f'{name.partition("_")[0]}: {len(dataset)} samples')
        loader = DataLoader(_Samples(dataset, args.rebuild), batch_size=None, num_workers=args.workers)
        for _ in track_iter_progress((loader, len(dataset))):
            pass
        number, size = dataset.cache.size()
        print(f'\n{dataset.cache.folder}: {number} samples, {size / 1e6:,.1f} MB')


if __name__ == '__main__':
    with fail_clearly():
        main()
