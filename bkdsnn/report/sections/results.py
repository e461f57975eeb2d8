"""What came out: accuracies, and what they allow to say."""
from html import escape
from typing import List, Optional

from ...visualization.figures import svg
from ..charts import accuracy_limits, draw_accuracy
from ..groups import Comparison, Group
from ..over_seeds import verdict
from ..pieces import Section, breakable, charts, figure, note, plus_minus, table

MEANING = dict(plain='labels only', kd="labels and the teacher's softened outputs",
               wsld="labels and the teacher's outputs, weighted by sample",
               bkd='labels and blurred feature distillation',
               mixed='labels, weighted outputs and blurred feature distillation')
NOTHING = '–'


def headline(comparison: Comparison, notes: List[str]) -> Section:
    """The table, what it says in words, and what went wrong."""
    first = comparison.main or comparison.baseline
    sentences = {group.name: _sentence(comparison, group) for group in comparison.groups}
    words = [f'<p class="headline">{escape(sentences.pop(first.name))}</p>']
    words += [f'<p>{escape(sentence)}</p>' for name, sentence in sentences.items() if name != comparison.baseline.name]
    if comparison.teacher is not None and first.accuracy:
        gap = first.mean - comparison.teacher
        words.append(f'<p>The teacher reaches {comparison.teacher:.2f} %; {escape(first.name)} is {abs(gap):.2f} '
                     f'points {"below" if gap < 0 else "above"} it.</p>')
    if any(comparison.gain(group) for group in comparison.groups):
        words.append('<p class="soft">The interval is that of the mean difference between runs with the same seed. It '
                     'covers the chance in training, not that of which images are in the test set.</p>')
    warnings = ''.join(map(note, notes))
    return Section('results', 'What came out',
                   'Share of test images classified correctly: higher is better, and a gain counts only if it is large '
                   'against its standard error.',
                   words[0] + warnings + _table(comparison) + ''.join(words[1:]) + _seeds(comparison))


def _sentence(comparison: Comparison, group: Group) -> str:
    gain = comparison.gain(group)
    if not group.accuracy:
        return f'The test accuracy of {group.name} is not known.'
    if gain is not None:
        return verdict(group.name, group.mean, gain, comparison.baseline.name)
    apart = '' if group is comparison.baseline else f'; it shares no seed with {comparison.baseline.name}, so that ' \
        'the two are not compared seed by seed'
    return f'{group.name} reaches {group.mean:.2f} % on average{apart}.' if len(group.accuracy) > 1 else \
        f'{group.name} reaches {group.mean:.2f} %{apart}.'


def _table(comparison: Comparison) -> str:
    heads = ['Method', 'Accuracy, %', f'Gain over {breakable(comparison.baseline.name)}, points', 'Seeds ahead',
             'Learning rate']
    rows = [_row(comparison, group) for group in comparison.groups]
    if comparison.teacher is not None:
        rows.append(['teacher', f'{comparison.teacher:.2f}', *[NOTHING] * 3])
    if len(comparison.groups) == 1:  # nothing to gain on
        heads, rows = heads[:2] + heads[4:], [row[:2] + row[4:] for row in rows]
    return table(heads, rows, 'Accuracy: mean ± standard deviation over seeds.' + (
        ' Gain: mean of the differences seed by seed ± its standard error.' if len(comparison.groups) > 1 else ''))


def _row(comparison: Comparison, group: Group) -> List[str]:
    gain = comparison.gain(group)
    return [breakable(group.name), plus_minus(f'{group.mean:.2f}', group.std) if group.accuracy else NOTHING,
            NOTHING if gain is None else plus_minus(f'{gain.mean:+.2f}', gain.error),
            NOTHING if gain is None else f'{gain.wins} of {len(gain.differences)}',
            NOTHING if group.lr is None else f'{group.lr:g}']


def _seeds(comparison: Comparison) -> str:
    """Accuracies of all seeds and what the names mean, folded away."""
    rows = ''.join(f'<p><b>{escape(group.name)}</b> ({MEANING.get(group.name, "see its config")}): '
                   f'{", ".join(f"{accuracy:.2f}" for accuracy in group.accuracy.values())}</p>'
                   for group in comparison.groups)
    return f'<details><summary>What the methods learn from, and every seed\'s accuracy in %</summary>{rows}</details>'


def accuracy(comparison: Comparison) -> Optional[Section]:
    """Bars with dots."""
    known = [group for group in comparison.groups if group.accuracy]
    if len(known) < 2 and comparison.teacher is None or not known:
        return None
    low, _ = accuracy_limits(known, comparison.teacher)
    chart = svg(lambda ax: draw_accuracy(ax, comparison), 'accuracy',
                'Bar chart of mean test accuracy by method, a circle per seed; the numbers are in the table above.')
    caption = f'The axis starts at {low} %, so the bars overstate the differences.' if low else ''
    teacher = '' if comparison.teacher is None else '; the dashed line is the teacher'
    return Section('accuracy', 'Test accuracy', f'A bar is the mean over seeds and each circle one seed{teacher}.',
                   charts(figure(chart, caption)))
