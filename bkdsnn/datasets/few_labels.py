"""The first labels of each class: what data sets with ``labels_per_class`` keep."""
from typing import List, Optional, Sequence

import numpy as np


def first_of_each_class(owner: str, split: str, ids: Sequence[int], labels: np.ndarray, number: int,
                        labels_per_class: Optional[int]) -> List[int]:
    """The first so many samples of each class, in increasing order.

    Args:
        owner: Class name of the data set, for the error.
        split: Likewise.
        ids: Samples of the split.
        labels: Class of every sample, (N,); ``ids`` are indices into it.
        number: Of classes.
        labels_per_class: How many to keep; ``None`` keeps all.

    Raises:
        ValueError: If a class has fewer.
    """
    ids = np.asarray(ids)
    by_class = [ids[labels[ids] == label] for label in range(number)]
    available = min(map(len, by_class))
    if labels_per_class is not None and not 1 <= labels_per_class <= available:
        raise ValueError(f'{owner}: labels_per_class={labels_per_class} must be between 1 and {available} for '
                         f'split={split!r}.')
    return np.sort(np.concatenate([of_class[:labels_per_class] for of_class in by_class])).tolist()
