"""Pictures of spiking neurons over time: their spikes, and their membranes.

Functions from arrays to figures; nothing needs a display. Blue is a spike, as on the report's pages.
"""
import textwrap
from typing import Optional, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .figures import INK, RC, SILENCE, SPIKE

CHARGE, THRESHOLD, REST = '#0072B2', '#D55E00', '#009E73'
RASTER = ListedColormap(np.array([SILENCE, SPIKE]) / 255)
# More labels would overlap.
LABELS = 48
DPI = 110


def figure_image(figure: Figure, dpi: int = DPI) -> np.ndarray:
    """A figure as RGB (H, W, 3) of uint8."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@matplotlib.rc_context(RC)
def draw_raster(spikes: np.ndarray, names: Optional[Sequence[str]] = None, title: str = '') -> Figure:
    """A row for each neuron and a column for each time step, blue where it spikes.

    Args:
        spikes: In {0, 1}, (T, N).
        names: Of the neurons; by default their numbers.
        title: Above the picture.

    Raises:
        ValueError: If there is no neuron or step, a value is no spike, or the names do not fit.
    """
    spikes = checked(spikes, 'spikes', 2)
    if not np.isin(spikes, (0, 1)).all():
        raise ValueError('a raster is drawn of spikes, which are 0 or 1, got values from '
                         f'{spikes.min():g} to {spikes.max():g}.')
    steps, count = spikes.shape
    names = _names(names, count)
    figure = Figure(figsize=(min(5.5 + 0.15 * steps, 12), min(max(3, 1.8 + 0.2 * count), 12)), layout='constrained')
    axes = figure.subplots()
    # Gaps between the cells, so that they can be counted.
    axes.pcolormesh(np.arange(steps + 1) + 0.5, np.arange(count + 1) - 0.5, spikes.T, cmap=RASTER, vmin=0, vmax=1,
                    edgecolors='white', linewidth=1 if max(spikes.shape) <= 64 else 0)
    _time_axis(axes, 0.5, steps + 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    shown = np.unique(np.linspace(0, count - 1, min(count, LABELS)).round().astype(int))
    axes.set_yticks(shown, [names[i] for i in shown], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[['left', 'bottom']].set_visible(False)
    axes.set_ylabel('neuron')
    put_title(figure, title)
    return figure


@matplotlib.rc_context(RC)
def draw_membranes(charged: np.ndarray, spikes: np.ndarray, threshold: float, reset: Optional[float],
                   names: Optional[Sequence[str]] = None, title: str = '') -> Figure:
    """The membrane of each neuron: it charges over a step, and drops where it has reached the threshold.

    Args:
        charged: Membrane before the reset, (T, N).
        spikes: In {0, 1}, (T, N).
        threshold: Of all neurons.
        reset: Membrane after a spike and at rest; ``None`` subtracts the threshold.
        names: Of the neurons; by default their numbers.
        title: Above the picture.

    Raises:
        ValueError: If there is no neuron or step, the shapes differ, or the names do not fit.
    """
    charged, spikes = checked(charged, 'charged', 2), checked(spikes, 'spikes', 2)
    if charged.shape != spikes.shape:
        raise ValueError(f'membranes {charged.shape} and spikes {spikes.shape} differ in shape.')
    names = _names(names, charged.shape[1])
    times, potentials = membrane_course(charged, spikes, threshold, reset)
    figure = Figure(figsize=(min(5.5 + 0.3 * len(charged), 12), 1.8 + len(names)), layout='constrained')
    rows = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for i, (axes, name) in enumerate(zip(rows, names)):
        axes.axhline(threshold, color=THRESHOLD, linestyle='--', linewidth=1.2)
        axes.axhline(reset or 0.0, color=REST, linestyle=':', linewidth=1.2)
        axes.plot(times, potentials[:, i], color=CHARGE, linewidth=1.6)
        _mark(axes, np.flatnonzero(spikes[:, i]), charged[:, i])
        axes.set_ylabel(name, rotation=0, ha='right', va='center', fontsize=9)
        axes.tick_params(labelsize=8)
        axes.margins(y=0.18)
        axes.yaxis.set_major_locator(MaxNLocator(3))
    _time_axis(rows[-1], 0, len(charged) + 0.1)
    figure.supylabel('membrane potential', fontsize=12)
    _membrane_legend(figure, threshold, reset or 0.0)
    put_title(figure, title)
    return figure


def _mark(axes: Axes, fired: np.ndarray, charged: np.ndarray) -> None:
    """Mark the peaks (T, ) at the indices of the steps with a spike."""
    marks, = axes.plot(fired + 1, charged[fired], '^', color=INK, markersize=6, clip_on=False)
    marks.set_in_layout(False)  # where there are none, the layout would fail


def _membrane_legend(figure: Figure, threshold: float, rest: float) -> None:
    figure.legend(handles=[Line2D([], [], color=THRESHOLD, linestyle='--', label=f'threshold {threshold:g}'),
                           Line2D([], [], color=REST, linestyle=':', label=f'rest {rest:g}'),
                           Line2D([], [], color=INK, marker='^', linestyle='', label='spike')],
                  loc='outside lower center', ncols=3, fontsize=9)


def membrane_course(charged: np.ndarray, spikes: np.ndarray, threshold: float,
                    reset: Optional[float]) -> Tuple[np.ndarray, np.ndarray]:
    """Membranes as a line through rest at time 0 and, at each step t, what they were before and after the reset.

    Args:
        charged: Membrane before the reset, (T, N).
        spikes: In {0, 1}, (T, N).
        threshold: What a soft reset subtracts.
        reset: Membrane after a spike and at rest; ``None`` is soft reset.

    Returns:
        Times (2 T + 1, ) and membranes (2 T + 1, N).
    """
    after = np.where(spikes > 0, charged - threshold if reset is None else reset, charged)
    rest = np.full((1, charged.shape[1]), reset or 0.0)
    steps = np.stack([charged, after], 1).reshape(-1, charged.shape[1])
    return np.repeat(np.arange(len(charged) + 1), 2)[1:], np.concatenate([rest, steps])


def checked(values: np.ndarray, name: str, axes: int) -> np.ndarray:
    """The values as an array.

    Raises:
        ValueError: If it is empty or has another number of axes.
    """
    values = np.asarray(values)
    if values.ndim != axes or not values.size:
        raise ValueError(f'{name} needs {axes} axes with at least one entry each, got shape {values.shape}.')
    return values


def put_title(figure: Figure, title: str) -> None:
    """Write a title above a figure, in lines no wider than it."""
    width = int(14 * figure.get_figwidth())
    figure.suptitle('\n'.join(textwrap.fill(line, width) for line in title.splitlines()), fontsize=10)


def _names(names: Optional[Sequence[str]], count: int) -> Sequence[str]:
    names = [str(i) for i in range(count)] if names is None else names
    if len(names) != count:
        raise ValueError(f'{len(names)} names do not fit {count} neurons.')
    return names


def _time_axis(axes: Axes, start: float, end: float) -> None:
    axes.set_xlim(start, end)
    axes.xaxis.set_major_locator(MaxNLocator(min(int(end) + 1, 16), integer=True, min_n_ticks=1))
    axes.set_xlabel('time step')
