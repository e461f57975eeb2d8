"""A comparison drawn: gains over plain, and accuracy over a number that was varied; each seed is a dot."""
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, Callable, Dict, Sequence, Tuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..utils.atomic import write_atomically
from ..visualization.figures import PALETTE, RC, looks_of
from .table import Standings, tied

# Values that differ by more are drawn on a logarithmic axis.
WIDE = 20
BLUE, RED, *_ = PALETTE
DOTS = dict(s=12, alpha=0.4, linewidths=0)


def draw_gains(standings: Standings) -> Figure:
    """Gains over plain with their 95 % intervals, the best method first; those that may be zero are hollow."""
    rows = [row for row in standings.rows if row.gain is not None and row.gain.error is not None]

    def draw(ax: Axes) -> None:
        for place, row in enumerate(rows):
            colour = BLUE if row.gain.mean > 0 else RED
            ax.scatter(row.gain.differences, [place - 0.3] * len(row.gain.differences), color=colour, **DOTS)
            ax.errorbar(row.gain.mean, place, xerr=row.gain.half_width, color=colour, marker='o', capsize=3,
                        markerfacecolor='white' if tied(row.gain) else colour)
        ax.axvline(0, color='grey', linewidth=1)
        ax.set_yticks(range(len(rows)), [row.name for row in rows])
        ax.invert_yaxis()
        ax.set(xlabel='gain over plain (points)', title=Path(standings.plan.pair).stem)
        ax.grid(axis='x', alpha=0.3)
    return _figure((8, 1.2 + 0.32 * len(rows)), draw)


def draw_curves(standings: Standings) -> Figure:
    """The first varied key along the axis; methods that do not have it, such as plain, are lines across."""
    key, values = next(iter(standings.plan.vary.items()))
    lines = standings.curves()

    def draw(ax: Axes) -> None:
        places = _scale(ax, values)
        for (name, rows), look in zip(sorted(lines.items()), looks_of(sorted(lines)).values()):
            style = dict(label=name, color=look.colour, linestyle=look.dashes)
            if key not in rows[0].variation:
                ax.axhline(rows[0].mean('accuracy'), **style)
                continue
            drawn = sorted(((places[repr(row.variation[key])], row) for row in rows), key=lambda point: point[0])
            ax.plot([place for place, _ in drawn], [row.mean('accuracy') for _, row in drawn], marker=look.marker,
                    zorder=3, **style)
            for place, row in drawn:
                ax.scatter([place] * len(row.accuracy), list(row.accuracy.values()), color=look.colour, **DOTS)
        ax.set(xlabel=key, ylabel='test accuracy (%)', title=Path(standings.plan.pair).stem)
        ax.grid(axis='y', alpha=0.3)
        ax.legend()
    return _figure((8, 5), draw)


def _scale(ax: Axes, values: Sequence[Any]) -> Dict[str, float]:
    """Where each value lies on the axis, which is prepared for them."""
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        ax.set_xticks(range(len(values)), list(map(str, values)))
        return {repr(value): place for place, value in enumerate(values)}
    if min(values) > 0 and max(values) > WIDE * min(values):
        ax.set_xscale('log')
    return {repr(value): value for value in values}


def _figure(size: Tuple[float, float], draw: Callable[[Axes], None]) -> Figure:
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=size, layout='constrained', facecolor='white')
        draw(figure.subplots())
    return figure


def write_pictures(standings: Standings, folder: Path) -> Sequence[str]:
    """Draw what there is to draw: ``gains.svg``, and ``curves.svg`` if anything was varied.

    Returns:
        Names of the files.
    """
    found: Dict[str, Callable[[Standings], Figure]] = {}
    if any(row.gain is not None and row.gain.error is not None for row in standings.rows):
        found['gains.svg'] = draw_gains
    if standings.plan.vary and any(row.lines for row in standings.rows):
        found['curves.svg'] = draw_curves
    for name, draw in found.items():
        with matplotlib.rc_context({**RC, 'svg.hashsalt': name}):
            write_atomically(folder / name, partial(draw(standings).savefig, format='svg',
                                                    metadata=dict(Date=None, Creator=None)))
    return list(found)
