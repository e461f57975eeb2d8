"""The line of Python that makes events of an array that holds them in another way, for errors."""
from typing import Dict, NamedTuple, Optional

import numpy as np

OTHER_NAMES = dict(x=('x', 'xs', 'col'), y=('y', 'ys', 'row'),
                   t=('t', 'ts', 'time', 'times', 'timestamp', 'timestamps'),
                   p=('p', 'ps', 'pol', 'polarity', 'polarities', 'on'))
# No recording is as short as so many microseconds; one that would be is in seconds.
LEAST_DURATION = 1000


class Column(NamedTuple):
    """Where one number of each event is.

    Attributes:
        text: In Python.
        values: Shape (N, ).
    """

    text: str
    values: np.ndarray


def conversion(events: np.ndarray) -> str:
    """How to convert an array to events, for an error; empty where that cannot be told, or there is nothing to do."""
    found = _fields(events) if events.dtype.names else _columns(events)
    if found is None or not len(found['t'].values) or any(column.values.dtype.kind not in 'iufb' or
                                                          not np.isfinite(column.values).all()
                                                          for column in found.values()):
        return ''
    t, p = found['t'].values, found['p'].values
    texts, units = {name: column.text for name, column in found.items()}, []
    if (t % 1).any():
        if np.ptp(t) >= LEAST_DURATION:
            return ''
        units.append('times in seconds')
        texts['t'] = f'({texts["t"]} * 1e6).round()'
    if set(np.unique(p)) == {-1, 1}:
        units.append('polarities of -1 and 1')
        texts['p'] += ' > 0'
    is_structured = all(events.dtype.names and name in events.dtype.names and events.dtype[name].kind in 'iub'
                        for name in 'xytp')
    if is_structured and not units or any((found[name].values % 1).any() for name in 'xy'):
        return ''
    reason = f'It has {" and ".join(units)}; convert' if units else 'Convert'
    return (f'. {reason} it: events = np.rec.fromarrays([{", ".join(texts[name] for name in "xytp")}], '
            "dtype=[(name, 'i8') for name in 'xytp'])")


def _fields(events: np.ndarray) -> Optional[Dict[str, Column]]:
    """The fields of a structured array by their usual names."""
    found = {}
    for name, others in OTHER_NAMES.items():
        field = next((field for field in events.dtype.names if field.lower() in others), None)
        if field is None or events.ndim != 1:
            return None
        found[name] = Column(f'events[{field!r}]', events[field])
    return found


def _columns(events: np.ndarray) -> Optional[Dict[str, Column]]:
    """The columns, or rows, of an array of four, by what is in them."""
    if events.ndim != 2 or 4 not in events.shape or events.dtype.kind not in 'iufb':
        return None
    rows = events.shape[1] != 4
    columns = [Column(f'events[{i}]' if rows else f'events[:, {i}]', events[i] if rows else events[:, i])
               for i in range(4)]
    p = [column for column in columns if np.isin(column.values, (-1, 0, 1)).all()]
    if len(p) != 1 or not events.size:
        return None
    others = [column for column in columns if column is not p[0]]
    t = max(others, key=lambda column: ((np.diff(column.values) >= 0).all(), column.values.max()))
    x, y = (column for column in others if column is not t)
    return dict(x=x, y=y, t=t, p=p[0])
