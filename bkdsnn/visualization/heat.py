"""Maps drawn over an image: how often neurons spike, and what each place says for a class.

Functions from arrays to figures, as in :mod:`bkdsnn.visualization.spikes`. Firing rates are blue; of class activation,
orange speaks for a class and blue against it.
"""
from typing import List, Optional, Tuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from torch.nn import functional as F

from .figures import RC
from .spikes import checked, put_title

# From white, so that the image below shows through.
RATE = LinearSegmentedColormap.from_list('rate', ['#FFFFFF', '#56B4E9', '#0072B2'])
# An odd number of colours, so that zero is white.
EVIDENCE = LinearSegmentedColormap.from_list('evidence', ['#0072B2', '#FFFFFF', '#D55E00'], 257)
# Below a map, black is drawn as this grey, so that its colours stay those of the colour bar, nearly.
DARKEST = 0.75
# Smaller images are drawn with larger pixels, so that a map over them is smooth.
MIN_SIDE = 160
COLUMNS = 5


@matplotlib.rc_context(RC)
def draw_rate_map(image: np.ndarray, rate: np.ndarray, title: str = '') -> Figure:
    """The image, and over it how often the neurons at each place spike.

    Args:
        image: (H, W) or (H, W, 3) of uint8.
        rate: Spikes per neuron and time step, (h, w).
        title: Above the picture.

    Raises:
        ValueError: If the rates have another number of axes.
    """
    rate = checked(rate, 'rate', 2)
    figure = Figure(figsize=(7, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    _picture(left, image, 'input')
    high = float(rate.max()) or 1.0
    _picture(right, heat_over(enlarge(image), rate, 0, high, RATE), f'{rate.min():.3f} to {rate.max():.3f}')
    _colour_bar(figure, [right], 0, high, RATE, 'spikes per neuron and step')
    put_title(figure, title)
    return figure


@matplotlib.rc_context(RC)
def draw_cam(image: np.ndarray, maps: np.ndarray, scores: np.ndarray, frames: Optional[np.ndarray] = None,
             title: str = '', label: str = 'evidence for the class') -> Figure:
    """The image, and over it what each place says for a class at each time step.

    Args:
        image: (H, W) or (H, W, 3) of uint8.
        maps: Evidence for the class (positive) or against it, (T, h, w).
        scores: Probability of the class after the steps so far, (T, ).
        frames: What was seen at each step, (T, H, W) or (T, H, W, 3), to draw the maps over instead.
        title: Above the picture.
        label: Of the colours.

    Raises:
        ValueError: If the numbers of steps differ.
    """
    maps, scores = checked(maps, 'maps', 3), checked(scores, 'scores', 1)
    frames = [image] * len(maps) if frames is None else frames
    if not len(maps) == len(scores) == len(frames):
        raise ValueError(f'{len(maps)} maps, {len(scores)} scores and {len(frames)} frames are not of the same steps.')
    columns = min(len(maps) + 1, COLUMNS)
    rows = -(-(len(maps) + 1) // columns)
    figure = Figure(figsize=(1.4 + 2.2 * columns, 0.9 + 2.4 * rows), layout='constrained')
    first, *panels = figure.subplots(rows, columns, squeeze=False).ravel()
    _picture(first, image, 'input')
    high = float(np.abs(maps).max()) or 1.0
    for axes, frame, values, step in zip(panels, frames, maps, range(len(maps))):
        _picture(axes, heat_over(enlarge(frame), values, -high, high, EVIDENCE),
                 f'step {step + 1}: {100 * scores[step]:.0f} %')
    for axes in panels[len(maps):]:
        axes.set_axis_off()
    _colour_bar(figure, [first, *panels], -high, high, EVIDENCE, label)
    put_title(figure, title)
    return figure


def heat_over(image: np.ndarray, values: np.ndarray, low: float, high: float, colours: Colormap) -> np.ndarray:
    """The image in shades of grey, tinted by values that are upsampled to its size.

    Args:
        image: (H, W) or (H, W, 3) of uint8.
        values: (h, w).
        low: Value of the first colour.
        high: Value of the last one.
        colours: From the one to the other.

    Returns:
        RGB in [0, 1], (H, W, 3).
    """
    grey = np.asarray(image, dtype=float)
    grey = grey @ (0.299, 0.587, 0.114) if grey.ndim == 3 else grey
    tint = colours(Normalize(low, high)(upsample(values, grey.shape)))[..., :3]
    return tint * (DARKEST + (1 - DARKEST) * grey[..., None] / 255)


def enlarge(image: np.ndarray) -> np.ndarray:
    """An image with its pixels repeated until its sides have ``MIN_SIDE`` or nearly so."""
    times = max(1, MIN_SIDE // min(image.shape[:2]))
    return image.repeat(times, 0).repeat(times, 1)


def upsample(values: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """A map (h, w) at another size (H, W), bilinear between the centres of its cells."""
    values = torch.as_tensor(np.array(values, dtype=np.float32))[None, None]
    return F.interpolate(values, tuple(size), mode='bilinear', align_corners=False)[0, 0].numpy()


def _colour_bar(figure: Figure, panels: List[Axes], low: float, high: float, colours: Colormap, label: str) -> None:
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), colours), ax=panels,
                          shrink=0.6 if len(panels) > COLUMNS else 1)
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def _picture(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image, cmap='gray', vmin=0, vmax=255)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
