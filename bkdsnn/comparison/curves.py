"""Accuracy over a number that was varied, drawn: means as lines, and each seed as a dot."""
import statistics
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, Dict, List

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..utils.atomic import write_atomically
from ..visualization.figures import RC, looks_of
from .plan import name_of
from .table import Standing, Standings

# Values that differ by more are drawn on a logarithmic axis.
WIDE = 20


def draw_curves(standings: Standings) -> Figure:
    """The first varied key along the axis, a line for each method with each value of the others.

    Methods that do not have the key, such as plain, are lines across.
    """
    key, values = next(iter(standings.plan.vary.items()))
    lines: Dict[str, List[Standing]] = {}
    for row in standings.rows:
        if row.lines:
            others = {other: value for other, value in row.variation.items() if other != key}
            lines.setdefault(name_of(row.method, row.neuron, others), []).append(row)
    with matplotlib.rc_context({**RC, 'svg.hashsalt': key}):
        figure = Figure(figsize=(8, 5), layout='constrained', facecolor='white')
        ax = figure.subplots()
        places = _scale(ax, values)
        for (name, rows), look in zip(sorted(lines.items()), looks_of(sorted(lines)).values()):
            drawn = [(places[repr(row.variation[key])], row) for row in rows if key in row.variation]
            if drawn:
                drawn.sort(key=lambda point: point[0])
                ax.plot([place for place, _ in drawn], [row.mean('accuracy') for _, row in drawn], label=name,
                        color=look.colour, linestyle=look.dashes, marker=look.marker, zorder=3)
                dots = [(place, accuracy) for place, row in drawn for accuracy in row.accuracy.values()]
                ax.scatter(*zip(*dots), s=8, color=look.colour, alpha=0.4, linewidths=0)
            else:
                accuracy = list(rows[0].accuracy.values())
                ax.axhline(statistics.mean(accuracy), label=name, color=look.colour, linestyle=look.dashes)
        ax.set(xlabel=key, ylabel='test accuracy (%)', title=Path(standings.plan.pair).stem)
        ax.grid(axis='y', alpha=0.3)
        ax.legend()
    return figure


def _scale(ax: Axes, values: List[Any]) -> Dict[str, float]:
    """Where each value lies on the axis, which is prepared for them."""
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        ax.set_xticks(range(len(values)), list(map(str, values)))
        return {repr(value): place for place, value in enumerate(values)}
    if min(values) > 0 and max(values) > WIDE * min(values):
        ax.set_xscale('log')
    return {repr(value): value for value in values}


def write_curves(standings: Standings) -> None:
    """Write ``curves.svg`` into the comparison's folder, if anything was varied and is finished."""
    if standings.plan.vary and any(row.lines for row in standings.rows):
        save = partial(draw_curves(standings).savefig, format='svg', metadata=dict(Date=None, Creator=None))
        write_atomically(Path(standings.plan.out) / 'curves.svg', save)
