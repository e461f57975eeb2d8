"""Pictures for the page, and attributes that change with the time step.

Every time step is in the HTML; ``player.js`` only switches between them. It reads attributes that hold a JSON list with
an entry for each step: ``data-texts`` is written into the element, ``data-shares`` becomes its CSS variable
``--share``, and ``data-flags`` sets the class ``on``. The variable ``--step`` says which of stacked pictures is seen.
"""
import json
from html import escape
from typing import List

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..visualization.browse import event_image
from ..visualization.figures import data_uri, mosaic

# Of a neuron that does not spike: faint on light and on dark ground.
SILENT = (128, 128, 128, 56)
# A value is drawn as so many pixels to each side, so that a browser can scale pictures without visible seams.
ENLARGED = 4
# More pixels of an event frame cannot be told apart on the page.
MAX_SIDE = 64


def each(what: str, values: List) -> str:
    """Attribute ``data-<what>`` with a value for each step."""
    return f' data-{what}="{escape(json.dumps(values, ensure_ascii=False))}"'


def spike_picture(spikes: Tensor, colour: str) -> np.ndarray:
    """Mosaic (H, W, 4) of the channels of spikes (C, h, w) in a colour such as ``'#0072B2'``."""
    rgba = (*bytes.fromhex(colour[1:]), 255)
    return mosaic(np.where(spikes.numpy()[..., None] > 0, np.uint8(rgba), np.uint8(SILENT)))


def sprite(pictures: List[np.ndarray], alt: str) -> str:
    """Pictures (H, W, 4) of all steps, of which one is seen at a time."""
    return f'<div class="sprite" role="img" aria-label="{escape(alt)}" style="{stacked(pictures)}"></div>'


def film(frames: np.ndarray) -> str:
    """Event frames (T, P, H, W), side by side."""
    tiles = ''.join(f'<i class="sprite" data-step="{step}" style="--step:{step - 1}"></i>'
                    for step in range(1, len(frames) + 1))
    counts = each('texts', [f'{int(count):,}' for count in frames.sum((1, 2, 3))])
    style = stacked([opaque(event_image(frame)) for frame in shrunk(frames)])
    return (f'<figure class="film" style="{style}"><div role="img" aria-label="Event frames of all steps">{tiles}</div>'
            f'<figcaption>What the camera saw: brighter in orange, darker in blue; <span{counts}></span> events in '
            'this step</figcaption></figure>')


def shrunk(frames: np.ndarray) -> np.ndarray:
    """Frames (T, P, H, W) of a large sensor, averaged down to the size at which they are seen."""
    scale = max(1.0, max(frames.shape[-2:]) / MAX_SIDE)
    size = [max(1, round(side / scale)) for side in frames.shape[-2:]]
    return F.adaptive_avg_pool2d(torch.from_numpy(frames), size).numpy()


def shelf(pictures: List[np.ndarray], names: List[str]) -> str:
    """Pictures (H, W, 3) to choose from, each a button."""
    buttons = ''.join(
        f'<button type="button" data-index="{index}" aria-label="Recording {index + 1}, a {escape(name)}">'
        f'<img src="{data_uri(opaque(picture))}" alt=""></button>'
        for index, (picture, name) in enumerate(zip(pictures, names)))
    return f'<div class="shelf">{buttons}</div>'


def scan_picture(scan: np.ndarray) -> str:
    """A scan (8, 8) with ink from 0 to 16, dark on light."""
    gray = (255 - scan.astype(float) * (255 / 16)).astype(np.uint8)
    return sprite([opaque(np.stack([gray] * 3, -1))], 'The 8x8 pixels that the networks see')


def opaque(picture: np.ndarray) -> np.ndarray:
    """An RGB picture (H, W, 3) as RGBA."""
    return np.concatenate([picture, np.full_like(picture[..., :1], 255)], -1)


def stacked(pictures: List[np.ndarray]) -> str:
    """Style that holds pictures (H, W, 4) in one image, one below the other."""
    # A transparent line below each, as a browser that scales lets neighbours shine through.
    tiles = [np.pad(picture, ((0, 1), (0, 0), (0, 0))).repeat(ENLARGED, 0).repeat(ENLARGED, 1) for picture in pictures]
    height, width = tiles[0].shape[:2]
    return (f'--ratio:{width}/{height};--last:{max(len(tiles) - 1, 1)};'
            f'--image:url({data_uri(np.concatenate(tiles))})')
