"""Where the networks go wrong: confusion, and samples that the teacher gets right."""
from html import escape
from typing import Dict, List, Optional, Union

import numpy as np
import torch
from torch import Tensor

from ..answers import agreement, confused_pairs
from ..bench import Missing
from ..groups import Comparison, Group
from ..measure import Tested
from ..pieces import Section, breakable, heat_table, img, missing, pair, table
from ..samples import Example

TITLE = 'Which classes are taken for which'
LOST = 'What the teacher gets right and the student wrong'
# A larger matrix is not readable on a phone.
MATRIX_CLASSES = 12
PAIRS = 10


def confusion(comparison: Comparison, tested: Union[Tested, Missing]) -> Optional[Section]:
    """Confusion matrices of few classes, and the pairs that are confused most."""
    if isinstance(tested, Missing):
        return missing('confusion', TITLE, tested)
    counts = {group.name: _summed(tested, group) for group in comparison.shown if tested.of(group)}
    if not counts:
        return None
    names = _class_names(comparison.shown[0], tested, len(next(iter(counts.values()))))
    same = all(len(matrix) == len(names) for matrix in counts.values())
    body = ''
    if len(names) <= MATRIX_CLASSES and same:
        matrices = [_matrix(name, matrix, names) for name, matrix in counts.items()]
        body = pair(*matrices)
    if same:
        body += _pairs(counts, names)
    return Section('confusion', TITLE,
                   'Test samples by their true class (rows) and the class that the network names (columns), all seeds '
                   'together; what is off the diagonal is a mistake.', body)


def _summed(tested: Tested, group: Group) -> Tensor:
    return torch.stack([answers.confusion for answers in tested.of(group).values()]).sum(0)


def _class_names(group: Group, tested: Tested, count: int) -> List[str]:
    return [tested.data[group.name].name_of(label) for label in range(count)]


def _matrix(name: str, counts: Tensor, names: List[str]) -> str:
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    texts = [[str(count) if count else '' for count in row] for row in counts.tolist()]
    return heat_table(names, names, _visible(shares.numpy()), texts, f'<b>{escape(name)}</b>', 'true')


def _visible(shares: np.ndarray) -> np.ndarray:
    """Strengths of colour that let single mistakes be seen."""
    return np.sqrt(shares)


def _pairs(counts: Dict[str, Tensor], names: List[str]) -> str:
    """The most frequent mistakes of all networks together, with each one's count."""
    pairs = confused_pairs(sum(counts.values()), PAIRS)
    if not pairs:
        return '<p>There is no mistake.</p>'
    rows = [[f'{escape(names[true])} taken for {escape(names[said])}',
             *(str(int(matrix[true, said])) for matrix in counts.values())] for true, said, _ in pairs]
    return table(['Mistake', *map(breakable, counts)], rows,
                 'The most frequent mistakes: number of test samples, all seeds together.')


def lost(comparison: Comparison, tested: Union[Tested, Missing], examples: Union[List[Example], Missing, None]
         ) -> Optional[Section]:
    """Samples that the student gets wrong and the teacher right."""
    if isinstance(tested, Missing) or isinstance(examples, Missing):
        return missing('examples', LOST, tested if isinstance(tested, Missing) else examples)
    if examples is None:
        return None
    counts = _agreement(comparison, tested)
    cards = ''.join(map(_card, examples)) or '<p>There is none.</p>'
    return Section('examples', LOST,
                   'What there is still to learn from the teacher. Of the first seed, those samples of which the '
                   'teacher is surest.', f'{counts}<div class="examples">{cards}</div>')


def _agreement(comparison: Comparison, tested: Tested) -> str:
    rows = []
    for group in comparison.groups:
        students = list(tested.of(group).values())
        teacher = tested.teacher_of(group)
        if teacher is not None:
            found = [agreement(student, teacher) for student in students]
            rows.append([breakable(group.name), *(f'{np.mean([one[key] for one in found]):.1f}'.removesuffix('.0')
                                               for key in ('both', 'student', 'teacher', 'neither'))])
    return table(['Student', 'Both right', 'Student only', 'Teacher only', 'Neither'], rows,
                 'Number of test samples, mean over seeds.') if rows else ''


def _card(example: Example) -> str:
    lines = ''.join(f'<tr><th scope="row">{breakable(name)}</th><td>{escape(said)} '
                    f'{"✓" if said == example.label else "✗"}</td><td>{100 * share:.0f} %</td></tr>'
                    for name, (said, share) in example.answers.items())
    return (f'<article class="card example">{img(example.image, f"Test sample of class {example.label}")}'
            f'<div><h3>Class {escape(example.label)}</h3><p class="soft">test sample {example.index + 1}</p>'
            f'<table class="says">{lines}</table></div></article>')
