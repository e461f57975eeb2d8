"""Charts as SVG and channel mosaics as PNG, inside a page.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; markers and dashes say the same.
"""
import base64
import io
import math
import re
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Sequence, Tuple, Union

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from PIL import Image
from torch import Tensor

# Stands for the text colour; a page replaces it by its own, dark or light.
INK = '#222222'
# Of Okabe and Ito, which colour-blind readers can tell apart; those that stand out from white first.
PALETTE = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00')
COLOURS = dict(plain='#0072B2', mixed='#D55E00', bkd='#CC79A7', kd='#56B4E9', wsld='#E69F00')
# The second way to tell lines apart.
MARKERS = ('o', 's', '^', 'D', 'v', 'P')
DASHES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
SPIKE, SILENCE = (0, 114, 178, 255), (226, 226, 226, 255)
ZEROED = (128, 128, 128, 255)
# More would be too small to see.
CHANNELS = 64
# Sides in pixels above which an image is one to look at, not to count pixels of.
SMALL = 64
RC = {
    'svg.fonttype': 'none', 'font.family': 'sans-serif', 'font.size': 12, 'axes.spines.top': False,
    'axes.spines.right': False, 'text.color': INK, 'axes.labelcolor': INK, 'axes.edgecolor': INK, 'xtick.color': INK,
    'ytick.color': INK, 'legend.frameon': False, 'lines.linewidth': 2
}


@dataclass(frozen=True)
class Look:
    """How a line or bar is drawn."""

    colour: str
    marker: str
    dashes: Union[str, tuple]


def looks_of(names: Sequence[str]) -> Dict[str, Look]:
    """A look of its own for each of up to six names; methods of the demo keep their colours everywhere."""
    free = [colour for colour in PALETTE if colour not in {COLOURS.get(name) for name in names}] or list(PALETTE)
    others = [name for name in names if name not in COLOURS]
    colours = {**COLOURS, **{name: free[i % len(free)] for i, name in enumerate(others)}}
    return {name: Look(colours[name], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
            for i, name in enumerate(names)}


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
    """An RGBA image inside a page: as PNG, or as JPEG where it is large and has no gaps, as photographs have none."""
    buffer = io.BytesIO()
    if min(image.shape[:2]) > SMALL and (image[..., 3] == 255).all():
        Image.fromarray(image[..., :3]).save(buffer, format='jpeg', quality=85)
        return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()
    imsave(buffer, image, format='png', metadata={'Software': None})
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def feature_range(*features: Tensor) -> Tuple[float, float]:
    """Limits of a shared colour scale; the largest and smallest 2 % are cut off."""
    values = np.concatenate([feature.numpy().ravel() for feature in features])
    low, high = np.percentile(values, [2, 98])
    return float(low), float(high)
