"""The report's charts, drawn on matplotlib axes."""
import math
import textwrap
from typing import Dict, List, Optional, Tuple

import numpy as np
from matplotlib.axes import Axes

from ..visualization.figures import INK, Look, looks_of
from .groups import Comparison, Group
from .over_seeds import Curve


def draw_accuracy(ax: Axes, comparison: Comparison) -> None:
    """Bars of mean test accuracy, a dot per seed, and the teacher as a line."""
    groups = [group for group in comparison.groups if group.accuracy]
    looks = looks_of([group.name for group in comparison.groups])
    for i, group in enumerate(groups):
        ax.bar(i, group.mean, width=0.6, color=looks[group.name].colour, alpha=0.55, linewidth=0)
        # Side by side, so that equal seeds stay visible.
        offsets = np.linspace(-0.18, 0.18, len(group.accuracy)) if len(group.accuracy) > 1 else [0]
        ax.plot(i + np.asarray(offsets), list(group.accuracy.values()), 'o', color=INK, markersize=5,
                markerfacecolor='none')
    if comparison.teacher is not None:
        _draw_teacher(ax, comparison.teacher)
    ax.set_xticks(range(len(groups)), ['\n'.join([*textwrap.wrap(group.name, 12), f'{group.mean:.2f}'])
                                       for group in groups])
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.set_ylim(*accuracy_limits(groups, comparison.teacher))
    ax.set_ylabel('test accuracy (%)')


def accuracy_limits(groups: List[Group], teacher: Optional[float]) -> Tuple[float, float]:
    """Limits of the accuracy axis: cut off below, where the differences would not be visible."""
    values = [accuracy for group in groups for accuracy in group.accuracy.values()]
    low, high = min(values), max(values + [teacher or 0])
    span = max(high - low, 1)
    return max(0, math.floor(low - span / 2)), min(high + 0.2 * span, 105)


def draw_curves(ax: Axes, curves: Dict[str, Curve], looks: Dict[str, Look], ylabel: str, markers: bool) -> None:
    """Mean over seeds, with a band of one standard deviation, by name; without a legend."""
    for name, curve in curves.items():
        look = looks[name]
        ax.plot(curve.x, curve.mean, color=look.colour, linestyle=look.dashes, label=name,
                marker=look.marker if markers or len(curve.x) == 1 else None, markersize=5)
        ax.fill_between(curve.x, curve.mean - curve.std, curve.mean + curve.std, color=look.colour, alpha=0.2,
                        linewidth=0)
    ax.set(xlabel='epoch', ylabel=ylabel)
    ax.grid(axis='y', color=INK, alpha=0.15)


def draw_loss_terms(ax: Axes, terms: Dict[str, Curve]) -> None:
    """Summands of the training loss over epochs, on a logarithmic axis."""
    draw_curves(ax, terms, looks_of(list(terms)), 'loss (log scale)', markers=False)
    ax.set(yscale='log')


def draw_over_time(ax: Axes, curves: Dict[str, Curve], looks: Dict[str, Look], teacher: Optional[float]) -> None:
    """Accuracy after each time step, and the teacher as a line."""
    draw_curves(ax, curves, looks, 'test accuracy (%)', markers=True)
    longest = max(curve.x[-1] for curve in curves.values())
    if teacher is not None:
        _draw_teacher(ax, teacher)
    ax.set_xticks(np.unique(np.linspace(1, longest, min(longest, 8)).round()))
    ax.set_xlabel('time steps')


def _draw_teacher(ax: Axes, accuracy: float) -> None:
    ax.axhline(accuracy, color=INK, linestyle='--', linewidth=1.5)
    ax.annotate(f'teacher {accuracy:.1f}', (1, accuracy), (0, 3), xycoords=('axes fraction', 'data'),
                textcoords='offset points', ha='right', va='bottom')
