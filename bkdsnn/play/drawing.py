"""A drawn digit, brought to what scikit-learn's digits are: 8x8 counts of ink.

The scans of that set went through NIST's form-based handprint recognition system (Garris et al., NISTIR 5469, 1994):
each digit is scaled to 20x32 pixels, its stroke thickened or thinned to one amount of ink, sheared upright, and counted
in blocks of 4x4 pixels. A network that has only seen such scans is at a loss with any other drawing.
"""
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

# The bitmap of 32x32 pixels, four times finer, so that thickness changes in small steps.
SIDE, WIDTH = 128, 80
BLOCK = SIDE // 8
# Share of ink in scikit-learn's scans; that of no class differs by more than 0.02.
INK = 0.305
# Of 255: less contrast is an empty picture. A digit takes up a tenth of the picture, or is a speck.
MIN_CONTRAST, MIN_EXTENT = 48, 0.1


def scan_of(picture: np.ndarray) -> np.ndarray:
    """Prepare a picture of one digit as scikit-learn's digits were prepared.

    Args:
        picture: uint8, (H, W), (H, W, 3) or (H, W, 4), of any size: dark on light, light on dark, or opaque on
            transparent.

    Returns:
        Ink from 0 to 16, (8, 8), uint8.

    Raises:
        ValueError: If there is no digit to see.
    """
    bitmap = scale(crop(find_ink(picture)))
    bitmap = shear_upright(set_thickness(bitmap))
    counts = bitmap.reshape(8, BLOCK, 8, BLOCK).mean((1, 3)) * 16
    return np.floor(counts + 0.5).astype(np.uint8)


def find_ink(picture: np.ndarray) -> np.ndarray:
    """Where a picture differs from its border, or is opaque: bool (H, W).

    Raises:
        ValueError: If the array is no picture, or nothing or too little stands out.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not picture.size:
        raise ValueError(f'an array {picture.shape} of {picture.dtype} is no picture: (H, W), (H, W, 3) or (H, W, 4), '
                         'uint8.')
    values = picture.reshape(*picture.shape[:2], -1).astype(float)
    opacity = values[..., 3] if values.shape[-1] == 4 else None
    if opacity is not None and opacity.min() < 255:
        contrast = opacity
    else:
        gray = values[..., :3].mean(-1)
        border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
        contrast = np.abs(gray - np.median(border))
    if contrast.max() < MIN_CONTRAST:
        raise ValueError('the picture is empty: draw a digit.')
    ink = contrast > contrast.max() / 2
    if max(np.ptp(indices) + 1 for indices in ink.nonzero()) < MIN_EXTENT * min(ink.shape):
        raise ValueError('what is drawn is too small for a digit: draw it larger.')
    return ink


def crop(ink: np.ndarray) -> np.ndarray:
    """The rows and columns between the first and the last with ink."""
    rows, columns = ink.nonzero()
    return ink[rows.min():rows.max() + 1, columns.min():columns.max() + 1]


def scale(ink: np.ndarray) -> np.ndarray:
    """Scale to full height, in the middle of a bitmap (SIDE, SIDE); a 1 gets at most twice as wide for its height."""
    height, width = ink.shape
    width = max(1, round(min(WIDTH, 2 * width * SIDE / height)))
    scaled = np.asarray(Image.fromarray(ink).convert('L').resize((width, SIDE), Image.Resampling.BILINEAR)) > 127
    left = (SIDE - width) // 2
    return np.pad(scaled, ((0, 0), (left, SIDE - width - left)))


def set_thickness(bitmap: np.ndarray) -> np.ndarray:
    """Thicken or thin strokes evenly until :data:`INK` of the bitmap is ink."""
    if bitmap.all():
        return bitmap
    depth = distance_transform_edt(bitmap) - distance_transform_edt(~bitmap)
    return depth > np.quantile(depth, 1 - INK)


def shear_upright(bitmap: np.ndarray) -> np.ndarray:
    """Shift rows so that the leftmost ink of the top block of rows and that of the bottom one are in one column."""
    rows, columns = bitmap.nonzero()
    top, bottom = rows.min(), rows.max()
    start, end = columns[rows < top + BLOCK].min(), columns[rows > bottom - BLOCK].min()
    slope, middle = (start - end) / max(bottom - top, 1), (top + bottom) / 2
    # Ink that is pushed off one side does not come in at the other.
    wide = np.pad(bitmap, ((0, 0), (SIDE, SIDE)))
    return np.stack([np.roll(row, round(slope * (y - middle))) for y, row in enumerate(wide)])[:, SIDE:-SIDE]
