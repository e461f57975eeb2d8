"""Which stages of a backbone are returned."""
from typing import Optional, Sequence, Tuple


def parse_out_indices(owner: str, indices: Optional[Sequence[int]], count: int) -> Tuple[int, ...]:
    """Check ``out_indices`` of a backbone with ``count`` stages; ``None`` is the last one.

    Raises:
        ValueError: If they are not ascending numbers of stages.
    """
    indices = (count - 1, ) if indices is None else indices
    ascending = isinstance(indices, (tuple, list)) and list(indices) == sorted(set(indices))
    if not ascending or not indices or not 0 <= indices[0] <= indices[-1] < count:
        raise ValueError(f'{owner}: out_indices={indices} must be ascending numbers of stages from 0 to {count - 1}, '
                         f'such as ({count - 1}, ).')
    return tuple(indices)
