"""Drawing: charts on matplotlib axes, channel mosaics, and both as text for a page.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; markers and dashes say the same.
"""
import base64
import io
import math
import re
from typing import Callable, Dict, List, Optional, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor

from .report_data import Comparison, Curve, Method

# Stands for the text colour; a page replaces it by its own, dark or light.
INK = '#222222'
COLOURS = dict(plain='#0072B2', mixed='#D55E00', bkd='#CC79A7', kd='#56B4E9', wsld='#E69F00')
OTHER = '#009E73'
# Marker and dashes: the second way to tell methods apart.
STYLES = [('o', '-'), ('s', '--'), ('^', '-.'), ('D', ':'), ('v', (0, (5, 1, 1, 1, 1, 1)))]
TERM_COLOURS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00']
SPIKE, SILENCE = (0, 114, 178, 255), (226, 226, 226, 255)
ZEROED = (128, 128, 128, 255)
# More would be too small to see.
CHANNELS = 64
RC = {
    'svg.fonttype': 'none', 'font.family': 'sans-serif', 'font.size': 12, 'axes.spines.top': False,
    'axes.spines.right': False, 'text.color': INK, 'axes.labelcolor': INK, 'axes.edgecolor': INK, 'xtick.color': INK,
    'ytick.color': INK, 'legend.frameon': False, 'lines.linewidth': 2
}


# ---- charts ----


def draw_accuracy(ax: Axes, comparison: Comparison) -> None:
    """Bars of mean test accuracy, a dot per seed, and the teacher as a line."""
    methods = list(comparison.methods.values())
    for i, method in enumerate(methods):
        ax.bar(i, method.mean, width=0.6, color=COLOURS.get(method.name, OTHER), alpha=0.55, linewidth=0)
        # Side by side, so that equal seeds stay visible.
        offsets = np.linspace(-0.18, 0.18, len(method.accuracy)) if len(method.accuracy) > 1 else [0]
        ax.plot(i + np.asarray(offsets), method.accuracy, 'o', color=INK, markersize=5, markerfacecolor='none')
    if comparison.teacher is not None:
        ax.axhline(comparison.teacher, color=INK, linestyle='--', linewidth=1.5)
        ax.annotate(f'teacher {comparison.teacher:.1f}', (len(methods) - 0.6, comparison.teacher), (0, 3),
                    textcoords='offset points', ha='right', va='bottom')
    ax.set_xticks(range(len(methods)), [f'{method.name}\n{method.mean:.2f}' for method in methods])
    ax.set_xlim(-0.6, len(methods) - 0.4)
    ax.set_ylim(*accuracy_limits(comparison))
    ax.set_ylabel('test accuracy (%)')


def accuracy_limits(comparison: Comparison) -> Tuple[float, float]:
    """Limits of the accuracy axis: cut off below, where the differences would not be visible."""
    values = [accuracy for method in comparison.methods.values() for accuracy in method.accuracy]
    low, high = min(values), max(values + [comparison.teacher or 0])
    span = max(high - low, 1)
    return max(0, math.floor(low - span / 2)), min(high + 0.2 * span, 105)


def draw_curves(ax: Axes, curves: Dict[str, Curve], ylabel: str, markers: bool) -> None:
    """Mean over seeds, with a band of one standard deviation, by method."""
    for (name, curve), (marker, dashes) in zip(curves.items(), STYLES):
        colour = COLOURS.get(name, OTHER)
        ax.plot(curve.epochs, curve.mean, color=colour, linestyle=dashes, label=name,
                marker=marker if markers else None, markersize=5)
        ax.fill_between(curve.epochs, curve.mean - curve.std, curve.mean + curve.std, color=colour, alpha=0.2,
                        linewidth=0)
    ax.set(xlabel='epoch', ylabel=ylabel)
    ax.grid(axis='y', color=INK, alpha=0.15)
    ax.legend()


def draw_loss_terms(ax: Axes, terms: Dict[str, Curve]) -> None:
    """Summands of the training loss over epochs, on a logarithmic axis."""
    for i, (name, curve) in enumerate(terms.items()):
        ax.plot(curve.epochs, curve.mean, color=TERM_COLOURS[i % len(TERM_COLOURS)], label=name,
                linestyle=STYLES[i % len(STYLES)][1])
    ax.set(xlabel='epoch', ylabel='loss (log scale)', yscale='log')
    ax.grid(color=INK, alpha=0.15)
    ax.legend()


def val_curves(methods: List[Method]) -> Dict[str, Curve]:
    """Validation accuracy of the methods that logged it."""
    curves = {method.name: method.val_curve() for method in methods}
    return {name: curve for name, curve in curves.items() if curve is not None}


def classification_curves(methods: List[Method]) -> Dict[str, Curve]:
    """Training loss of the methods without distillation terms, which the baseline does not have."""
    curves = {method.name: method.train_curve('loss_cls') for method in methods}
    return {name: curve for name, curve in curves.items() if curve is not None}


def svg(draw: Callable[[Axes], None], name: str, alt: str, size: Tuple[float, float] = (4.4, 3.3)) -> str:
    """Inline SVG of a chart.

    Args:
        draw: Draws on the axes that it gets.
        name: Prefix of the SVG's ids, which must be unique on a page.
        alt: What the chart shows, for those who cannot see it.
        size: Inches; small, so that text stays readable on a phone.
    """
    with matplotlib.rc_context({**RC, 'svg.hashsalt': name}):
        figure = Figure(figsize=size, layout='constrained')
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True, bbox_inches='tight', pad_inches=0.03,
                       metadata=dict.fromkeys(('Creator', 'Date', 'Format', 'Type')))
    text = buffer.getvalue()
    text = text[text.index('<svg'):]
    # Without a size of its own, it takes its column's width.
    text = re.sub(r' (width|height)="[\d.]+pt"', '', text, count=2)
    # The style would apply to the whole page.
    text = re.sub(r'<style.*?</style>|<!--.*?-->', '', text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf'\g<1>{name}-', text).replace(INK, 'currentColor')
    # A font of the reader's system is narrower than matplotlib's, so labels keep their room.
    text = re.sub(r"font: ([^;\"]*?px)[^;\"]*", r"font: \1 system-ui, sans-serif", text)
    text = text.replace("font-family: 'DejaVu Sans'", 'font-family: system-ui, sans-serif')
    return text.replace('<svg ', f'<svg role="img" aria-label="{alt}" ', 1)


# ---- mosaics ----


def mosaic(maps: np.ndarray, columns: Optional[int] = None, limit: int = CHANNELS) -> np.ndarray:
    """Lay coloured channels side by side, with transparent gaps of a pixel.

    Args:
        maps: RGBA values (C, h, w, 4) of uint8.
        columns: Channels a row; by default nearly square.
        limit: Channels beyond are left out.

    Returns:
        RGBA image (H, W, 4) of uint8.
    """
    maps = maps[:limit]
    count, height, width = maps.shape[:3]
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for i, tile in enumerate(maps):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        canvas[top:top + height, left:left + width] = tile
    return canvas


def spike_mosaic(spikes: Tensor) -> np.ndarray:
    """Mosaic of spikes (C, H, W)."""
    return mosaic(np.where(spikes.numpy()[..., None] > 0, np.uint8(SPIKE), np.uint8(SILENCE)))


def feature_mosaic(features: Tensor, low: float, high: float, kept: Optional[Tensor] = None) -> np.ndarray:
    """Mosaic of features (C, H, W) between ``low`` and ``high``; channels not in ``kept`` (C, 1, 1) are grey."""
    values = (features.numpy() - low) / max(high - low, 1e-12)
    coloured = matplotlib.colormaps['viridis'](values.clip(0, 1), bytes=True)
    if kept is not None:
        coloured[kept.flatten().numpy() == 0] = ZEROED
    return mosaic(coloured)


def picture_of(image: Tensor) -> np.ndarray:
    """An image (C, H, W) as RGBA (H, W, 4) of uint8, from its smallest to its largest value."""
    array = image.float().numpy()
    array = (array - array.min()) / max(float(array.max() - array.min()), 1e-12)
    array = np.repeat(array.mean(0, keepdims=True), 3, 0) if len(array) != 3 else array
    rgb = (array * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)


def data_uri(image: np.ndarray) -> str:
    """An RGBA image as a PNG inside a page."""
    buffer = io.BytesIO()
    imsave(buffer, image, format='png', metadata={'Software': None})
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def feature_range(*features: Tensor) -> Tuple[float, float]:
    """Limits of a shared colour scale; the largest and smallest 2 % are cut off."""
    values = np.concatenate([feature.numpy().ravel() for feature in features])
    low, high = np.percentile(values, [2, 98])
    return float(low), float(high)
