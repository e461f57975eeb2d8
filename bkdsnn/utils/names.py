"""Misspelled names: which known one is meant."""
from difflib import SequenceMatcher, get_close_matches
from typing import Iterable, Optional

# Of the letters, how many two names have in common where one is taken for a slip of the other.
ALIKE = 0.85


def suggestion(name: str, known: Iterable[str]) -> str:
    """A question after the nearest of the known names, for the end of an error; empty where none is near."""
    known = list(known)
    near = near_miss(name, known) or next(iter(get_close_matches(name, map(str, known), n=1)), None)
    return f' Did you mean {near!r}?' if near else ''


def near_miss(name: str, known: Iterable[str]) -> Optional[str]:
    """The known name that another one is probably a slip of; ``None`` if it is far from all of them, or one of them."""
    known = [str(one) for one in known]
    if name in known:
        return None
    found = [(distance(name.lower(), one.lower()), one) for one in known if _is_slip(name.lower(), one.lower())]
    return min(found)[1] if found else None


def _is_slip(name: str, known: str) -> bool:
    matcher = SequenceMatcher(None, name, known)
    if matcher.quick_ratio() < 0.7:  # which takes no time
        return False
    allowed = 0 if len(known) < 3 else 1 if len(known) < 8 else 2
    if abs(len(name) - len(known)) <= allowed and distance(name, known) <= allowed:
        return True
    return len(known) >= 6 and matcher.ratio() >= ALIKE


def distance(a: str, b: str) -> int:
    """Letters to insert, drop, replace or exchange with their neighbour to make one name of another."""
    rows = [list(range(len(b) + 1))]
    for i, letter in enumerate(a, 1):
        rows.append([i])
        for j, other in enumerate(b, 1):
            costs = [rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (letter != other)]
            if i > 1 and j > 1 and (letter, a[i - 2]) == (b[j - 2], other):
                costs.append(rows[i - 2][j - 2] + 1)
            rows[i].append(min(costs))
    return rows[-1][-1]
