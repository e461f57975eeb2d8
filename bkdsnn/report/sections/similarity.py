"""Which stages of the student see the images as which of the teacher's do."""
from html import escape
from typing import Dict, Optional, Union

import torch

from ..bench import Missing
from ..pieces import Section, heat_table, missing, note, pair
from ..similarity import Similarity

TITLE = 'Similarity of features to the teacher'


def similarity(measured: Union[Dict[str, Union[Similarity, Missing]], Missing]) -> Optional[Section]:
    """A heat map of CKA for each student."""
    if isinstance(measured, Missing):
        return missing('similarity', TITLE, measured)
    if not measured:
        return None
    parts = pair(*(note(found, name) if isinstance(found, Missing) else _map(name, found)
                   for name, found in measured.items()))
    samples = max((found.samples for found in measured.values() if isinstance(found, Similarity)), default=0)
    return Section('similarity', TITLE,
                   "Linear CKA of the student's stages (rows, averaged over time) and the teacher's (columns): 1 where "
                   'both arrange the samples alike up to rotation and scale, about 0 where they have nothing in '
                   'common.', parts + (f'<p class="soft">Unbiased estimate on {samples} test samples, first seed '
                                       '(Kornblith et al., 2019).</p>' if samples else ''))


def _map(name: str, found: Similarity) -> str:
    texts = [['–' if cell != cell else f'{cell:.2f}'.replace('0.', '.', 1) for cell in row]
             for row in found.cka.tolist()]
    strength = torch.nan_to_num(found.cka).clamp(0, 1).numpy()
    return heat_table(found.rows, found.columns, strength, texts, f'<b>{escape(name)}</b> and the teacher',
                      'student')
