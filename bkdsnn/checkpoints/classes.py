"""Which classes a checkpoint's network tells apart, and whether those of a data set are the same, in the same order."""
from typing import Any, Optional, Sequence, Tuple

import numpy as np


def classes_in(meta: Optional[dict], label: str) -> Optional[Tuple[str, ...]]:
    """Names of classes in the ``dataset_meta`` of a checkpoint or the ``metainfo`` of a data set; ``None`` without.

    Raises:
        ValueError: If what should be names is something else.
    """
    if meta is None:
        return None
    if not isinstance(meta, dict):
        raise ValueError(f'{label} has no sound dataset_meta: it is a {type(meta).__name__}, not a dict.')
    classes = meta.get('classes')
    if classes is None:
        return None
    if not isinstance(classes, (list, tuple, np.ndarray)) or not all(isinstance(name, (str, int, np.generic))
                                                                     for name in classes):
        raise ValueError(f'{label} has no sound dataset_meta: classes={classes!r} are no names.')
    return tuple(map(str, classes))


def check_classes(known: Optional[dict], found: Optional[dict], label: str, key: str) -> None:
    """Check that a data set has the classes that a network was trained on, in their order.

    Args:
        known: ``dataset_meta`` of the checkpoint.
        found: ``metainfo`` of the data set.
        label: What the network is from, for the error.
        key: Config key of the data set.

    Raises:
        ValueError: If both say their classes and these differ.
    """
    ours, theirs = classes_in(known, label), classes_in(found, key)
    if ours is None or theirs is None or ours == theirs:
        return
    raise ValueError(f'{label} and {key} {difference(ours, theirs)}. Answers would count as other classes. '
                     f'Give the data set the classes of the checkpoint in their order, {key}.metainfo.classes; class '
                     'folders have to be named so.')


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> str:
    """In what the classes of a checkpoint and a data set differ."""
    if len(ours) != len(theirs):
        return f'have {len(ours)} and {len(theirs)} classes'
    first = next(i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b)
    how = 'the same classes in another order' if sorted(ours) == sorted(theirs) else 'other classes'
    return f'have {how}: class {first} is {ours[first]!r} there and {theirs[first]!r} here'
