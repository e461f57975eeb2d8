"""The data sets that a config names, below wrappers such as ``RepeatDataset`` and ``KFoldDataset``."""
from bisect import bisect_right
from typing import Any, List, Sequence, Tuple

from mmengine.config import Config, ConfigDict

# Keys of a wrapper's config, and attributes of a wrapper, where the data sets inside are.
INSIDE = ('datasets', 'dataset')


def loader_config(cfg: Config, split: str) -> ConfigDict:
    """The config of a split's data loader.

    Raises:
        ValueError: If there is none.
    """
    if cfg.get(f'{split}_dataloader') is None:
        raise ValueError(f'the config {cfg.filename} has no {split}_dataloader.')
    return cfg[f'{split}_dataloader']


def datasets_in(dataset: Any) -> List[Any]:
    """The data sets inside wrappers and lists.

    Args:
        dataset: A data set, the config of one, or a list of these.
    """
    if isinstance(dataset, (list, tuple)):
        return [inner for part in dataset for inner in datasets_in(part)]
    get = dataset.get if isinstance(dataset, dict) else lambda key: getattr(dataset, key, None)
    wrapped = next((get(key) for key in INSIDE if get(key) is not None), None)
    return [dataset] if wrapped is None else datasets_in(wrapped)


def pipeline_in(dataset: dict) -> List[dict]:
    """The transforms in the config of a data set; of several in one, those of the first."""
    return list(datasets_in(dataset)[0].get('pipeline') or [])


def without(dataset: Any, *keys: str) -> Any:
    """The config of a data set, or a list of these, without some keys, nor those of data sets inside wrappers."""
    if isinstance(dataset, (list, tuple)):
        return [without(part, *keys) for part in dataset]
    return {key: without(value, *keys) if key in INSIDE else value for key, value in dataset.items()
            if key not in keys}


def same_source(dataset: Any, other: Any) -> bool:
    """Whether two data sets draw on the same samples, whichever of them each takes and makes of them.

    Those that name ``indices`` of which none is in both do not, nor the first ones and the last ones.
    """
    which = ('pipeline', 'indices', 'cache_dir', 'test_mode')
    if without(dataset, *which) != without(other, *which):
        return False
    parts = datasets_in(dataset), datasets_in(other)
    return not (len(parts[0]) == len(parts[1]) == 1 and _apart(*(part[0].get('indices') for part in parts)))


def _apart(indices: Any, others: Any) -> bool:
    """Whether two selections share no sample, as far as they say: places, or how many from the begin or the end."""
    if isinstance(indices, int) and isinstance(others, int):
        return indices * others < 0
    if isinstance(indices, Sequence) and isinstance(others, Sequence):
        return set(indices).isdisjoint(others)
    return False


def steps_in_epoch(samples: int, processes: int, batch_size: int, drop_last: bool = False) -> int:
    """Batches of a process in an epoch, of a sampler that gives all as many samples (``DefaultSampler``)."""
    each = -(-samples // processes)
    return each // batch_size if drop_last else -(-each // batch_size)


def inner_sample(dataset: Any, idx: int) -> Tuple[Any, int]:
    """The data set inside wrappers that sample ``idx`` comes from, and its index there.

    Args:
        dataset: A data set that is built, in wrappers of mmengine, mmpretrain or PyTorch.
        idx: Index of a sample, from 0.
    """
    if getattr(dataset, 'datasets', None) is not None:
        part = bisect_right(dataset.cumulative_sizes, idx)
        return inner_sample(dataset.datasets[part], idx - (dataset.cumulative_sizes[part - 1] if part else 0))
    inner = getattr(dataset, 'dataset', None)
    if inner is None:
        return dataset, idx
    if hasattr(dataset, 'indices'):
        return inner_sample(inner, dataset.indices[idx])
    # A fold's data set has been cut down to it.
    is_cut = len(inner) == len(dataset) or not hasattr(dataset, '_get_ori_dataset_idx')
    return inner_sample(inner, idx if is_cut else dataset._get_ori_dataset_idx(idx))
