"""Curves: how accuracy and losses went over the epochs."""
from html import escape
from typing import Dict, List, Optional

from ...visualization.figures import looks_of, svg
from ..charts import draw_curves, draw_loss_terms
from ..groups import Comparison, Group
from ..over_seeds import Curve
from ..pieces import Section, breakable, charts, figure, legend, listing, plus_minus, table

TERMS = dict(loss_cls='labels', loss_bkd="restored features against the teacher's",
             loss_wsld="outputs against the teacher's, weighted by sample",
             loss_kd="softened outputs against the teacher's")


def learning(comparison: Comparison) -> Optional[Section]:
    """Curves of validation accuracy and training loss."""
    groups = comparison.drawn
    looks = looks_of([group.name for group in comparison.groups])
    validation, training = comparison.val_curves(groups), comparison.own_losses(groups)
    figures = []
    for curves, name, ylabel, markers, caption in (
            (validation, 'validation', 'validation accuracy (%)', True,
             'Accuracy on the validation images, which are not trained on.'),
            (training, 'training', 'cross-entropy', False,
             'Loss against the labels on the training images, of the runs that have it as it is.')):
        if curves:
            alt = f'Line chart of {ylabel} over epochs for {listing(list(curves))}. ' + ends_of(curves)
            chart = svg(lambda ax, c=curves, y=ylabel, m=markers: draw_curves(ax, c, looks, y, m), name, alt)
            figures.append(figure(chart + legend(list(curves), looks, markers), caption))
    if not figures:
        return None
    return Section('learning', 'Learning curves',
                   f'How {listing([group.name for group in groups])} learn: a line is the mean over seeds, the band '
                   'one standard deviation to each side.', charts(*figures) + _ends_table(validation))


def _ends_table(curves: Dict[str, Curve]) -> str:
    """Best and last validation accuracies."""
    rows = []
    for name, curve in curves.items():
        best = int(curve.mean.argmax())
        rows.append([breakable(name), _accuracy(curve, best), str(curve.x[best]), _accuracy(curve, -1),
                     str(curve.x[-1])])
    return table(['Method', 'Best, %', 'at epoch', 'Last, %', 'at epoch'], rows,
                 'Validation accuracy: mean ± standard deviation over seeds.') if rows else ''


def _accuracy(curve: Curve, place: int) -> str:
    return plus_minus(f'{curve.mean[place]:.2f}', curve.std[place] if len(curve.values) > 1 else None)


def loss_terms(comparison: Comparison) -> Optional[Section]:
    """Curves of the distilled runs' losses."""
    terms = [(group, group.loss_terms()) for group in comparison.drawn if group.distils]
    figures = [_terms_figure(i, group, curves) for i, (group, curves) in enumerate(terms) if len(curves) > 1]
    if not figures:
        return None
    return Section('losses', 'What distillation minimises',
                   'Each line is one term of the training loss with its weight, mean over seeds; a falling one is '
                   'being learned. Terms against soft labels end above zero, at the entropy of the teacher.',
                   charts(*figures))


def _terms_figure(place: int, group: Group, curves: Dict[str, Curve]) -> str:
    alt = f'Line chart of the loss terms of {escape(group.name)} over epochs, log scale. ' + ends_of(curves)
    chart = svg(lambda ax: draw_loss_terms(ax, curves), f'terms{place}', alt)
    return figure(chart + legend(list(curves), looks_of(list(curves)), markers=False),
                  f'<b>{escape(group.name)}</b>. {term_meanings(list(curves), group.losses)}')


def term_meanings(names: List[str], losses: dict) -> str:
    """What the known ones among loss terms compare, by their names and configs."""
    meanings = dict(TERMS)
    if 'type' in (losses.get('loss_cls') or {}):
        meanings['loss_cls'] = f"{escape(losses['loss_cls']['type'])}, in place of the student's own loss"
    return ' '.join(f'{name}: {meanings[name]}.' for name in names if name in meanings)


def ends_of(curves: Dict[str, Curve]) -> str:
    """Where curves begin and end, in words."""
    return ' '.join(f'{escape(name)} goes from {curve.mean[0]:.3g} to {curve.mean[-1]:.3g}.'
                    for name, curve in curves.items())
