"""Augmentation of frames: one draw for all frames of all views.

Together they make the neuromorphic data augmentation (NDA) of Li et al. 2022 (arXiv 2203.06145): configs choose one of
them per sample with mmcv's ``RandomChoice``.
"""
from dataclasses import dataclass

import numpy as np

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform, Frames, check_range, map_frames
from .geometry import RandomFlip, RandomRoll, RandomRotate, check_direction


def warp_frames(frames: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Frames moved linearly about their centre, each pixel from its nearest one; what comes from outside is zero.

    Args:
        frames: (T, P, H, W).
        matrix: (2, 2), applied to (x, y).
    """
    height, width = frames.shape[-2:]
    y, x = np.mgrid[:height, :width]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    source = (np.stack([x, y], -1) - centre) @ np.linalg.inv(matrix).T + centre
    # Half-way pixels go to the even one, as in torchvision.
    x, y = np.rint(source).astype(np.int64).transpose(2, 0, 1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(inside, frames[..., y.clip(0, height - 1), x.clip(0, width - 1)], frames.dtype.type(0))


def shift_frames(frames: np.ndarray, shift: int, axis: int) -> np.ndarray:
    """Frames moved by whole pixels along an axis, with zeros behind them."""
    shifted = np.zeros_like(frames)
    source, target = np.moveaxis(frames, axis, 0), np.moveaxis(shifted, axis, 0)
    left = max(len(source) - abs(shift), 0)
    if shift >= 0:
        target[len(source) - left:] = source[:left]
    else:
        target[:left] = source[len(source) - left:]
    return shifted


def cut_out(frames: np.ndarray, left: int, top: int, size: int) -> np.ndarray:
    """Frames with a square of zeros."""
    frames = frames.copy()
    frames[..., top:top + size, left:left + size] = 0
    return frames


def size_of(frames: Frames) -> tuple:
    """Height and width of frames, or of all views."""
    return (next(iter(frames.values())) if isinstance(frames, dict) else frames).shape[-2:]


def _axis(direction: str) -> int:
    return -1 if direction == 'horizontal' else -2


@TRANSFORMS.register_module()
@dataclass
class RandomFrameFlip(RandomFlip):
    """Mirrors ``frames`` and sets ``flip``. Not left to right for DVSGesture, where left and right are classes."""

    def transform(self, results: dict) -> dict:
        """Change ``frames`` and set ``flip``."""
        flip, frames = self.draw(), results['frames']
        if flip:
            # A copy, since PyTorch takes no negative strides.
            frames = map_frames(lambda f: np.flip(f, _axis(self.direction)).copy(), frames)
        return dict(results, frames=frames, flip=flip)


@TRANSFORMS.register_module()
@dataclass
class RandomFrameRoll(RandomRoll):
    """Shifts ``frames`` in both directions; what leaves at one side enters at the other, so no event is lost."""

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        shift = self.draw()
        return dict(results, frames=map_frames(lambda f: np.roll(f, shift, (-2, -1)), results['frames']))


@TRANSFORMS.register_module()
@dataclass
class RandomFrameTranslate(EventTransform):
    """Shifts ``frames`` in one direction; zeros enter behind them.

    Args:
        max_shift: Largest shift in pixels, to either side.
        direction: ``'horizontal'`` or ``'vertical'``.
    """

    max_shift: int = 5
    direction: str = 'horizontal'

    def __post_init__(self) -> None:
        check_range(self, 'max_shift', 0, whole=True)
        check_direction(self)

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        shift = int(np.random.randint(-self.max_shift, self.max_shift + 1))
        frames = map_frames(lambda f: shift_frames(f, shift, _axis(self.direction)), results['frames'])
        return dict(results, frames=frames)


@TRANSFORMS.register_module()
@dataclass
class RandomFrameRotate(RandomRotate):
    """Turns ``frames`` about their centre."""

    max_degrees: float = 30.0

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        matrix = self.draw()
        return dict(results, frames=map_frames(lambda f: warp_frames(f, matrix), results['frames']))


@TRANSFORMS.register_module()
@dataclass
class RandomFrameShear(EventTransform):
    """Shears ``frames`` about their centre.

    Args:
        max_shear: Largest shift of a row per row, or of a column per column, to either side.
        direction: ``'horizontal'`` moves rows, ``'vertical'`` columns.
    """

    max_shear: float = 0.3
    direction: str = 'horizontal'

    def __post_init__(self) -> None:
        check_range(self, 'max_shear', 0)
        check_direction(self)

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        matrix, shear = np.eye(2), np.random.uniform(-self.max_shear, self.max_shear)
        matrix[(0, 1) if self.direction == 'horizontal' else (1, 0)] = shear
        return dict(results, frames=map_frames(lambda f: warp_frames(f, matrix), results['frames']))


@TRANSFORMS.register_module()
@dataclass
class RandomFrameCutout(EventTransform):
    """Puts a square of zeros somewhere into ``frames``.

    Args:
        max_area: Largest area, as a part of a frame's.
    """

    max_area: float = 0.1

    def __post_init__(self) -> None:
        check_range(self, 'max_area', 0, 1)

    def transform(self, results: dict) -> dict:
        """Change ``frames``."""
        height, width = size_of(results['frames'])
        size = min(int(round((np.random.uniform(0, self.max_area) * height * width)**0.5)), height, width)
        left, top = np.random.randint(width - size + 1), np.random.randint(height - size + 1)
        return dict(results, frames=map_frames(lambda f: cut_out(f, left, top, size), results['frames']))
