"""The data sets that a config names, below wrappers."""
from typing import Any, List


def datasets_in(dataset: Any) -> List[Any]:
    """The data sets inside wrappers (``RepeatDataset``, ``ConcatDataset``, ...) and lists.

    Args:
        dataset: A data set, the config of one, or a list of these.
    """
    if isinstance(dataset, (list, tuple)):
        return [inner for part in dataset for inner in datasets_in(part)]
    get = dataset.get if isinstance(dataset, dict) else lambda key: getattr(dataset, key, None)
    wrapped = get('dataset') if get('datasets') is None else get('datasets')
    return [dataset] if wrapped is None else datasets_in(wrapped)


def pipeline_in(dataset: dict) -> List[dict]:
    """The transforms in the config of a data set; of several in one, those of the first."""
    return list(datasets_in(dataset)[0].get('pipeline') or [])
