"""What each loss term asks of the student."""
import math
import statistics
from html import escape
from typing import Dict, List, Optional, Union

from ..bench import Missing
from ..measure import GRADIENT_BATCHES, Shares
from ..over_seeds import spread
from ..pieces import Section, bar, missing, note, plus_minus, table

TITLE = 'How strongly each loss pulls'


def gradients(measured: Union[Dict[str, Union[List[Shares], Missing]], Missing]) -> Optional[Section]:
    """A table of gradient norms, shares and directions for each distilled group."""
    if isinstance(measured, Missing):
        return missing('gradients', TITLE, measured)
    if not measured:
        return None
    parts = [note(shares, name) if isinstance(shares, Missing) else _table(name, shares)
             for name, shares in measured.items()]
    return Section('gradients', TITLE,
                   "The gradient of each term, with its weight, on the student's backbone at the last checkpoint, mean "
                   f'over the first training batches ({GRADIENT_BATCHES} at most). The share says how much of the pull '
                   "is the term's; the cosine whether it pulls where the labels do: 1 the same way, 0 at a right "
                   'angle, -1 against them.', ''.join(parts))


def _table(name: str, seeds: List[Shares]) -> str:
    rows = [_row(term, seeds) for term in seeds[0]]
    many = ', mean ± standard deviation over seeds' if len(seeds) > 1 else ''
    return table(['Loss term', 'Gradient norm', 'Share', 'Cosine with the labels'], rows,
                 f'<b>{escape(name)}</b>{many}')


def _row(term: str, seeds: List[Shares]) -> List[str]:
    share = [100 * seed[term].share for seed in seeds]
    mean = statistics.mean(share)
    return [escape(term), f'{statistics.mean(seed[term].norm for seed in seeds):.3g}',
            bar(mean / 100, plus_minus(f'{mean:.0f}', spread(share), 0) + '\N{NO-BREAK SPACE}%'),
            _cosine([seed[term].cosine for seed in seeds])]


def _cosine(cosines: List[float]) -> str:
    known = [cosine for cosine in cosines if not math.isnan(cosine)]
    return plus_minus(f'{statistics.mean(known):.2f}', spread(known)) if known else '–'
