"""Sizes of images that networks can halve as often as they do."""
from torch import Tensor


def check_size(owner: str, x: Tensor, multiple: int) -> None:
    """Check the height and width of images or frames (..., H, W).

    Args:
        owner: Class name, for the error.
        x: The input.
        multiple: The patch size, or the product of the strides.

    Raises:
        ValueError: If the height or the width is not a multiple of it.
    """
    height, width = x.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(f'{owner}: the input is {height}x{width}, which is not a multiple of {multiple}, the pixels '
                         'that become one token in each direction. Resize or pad it in the data pipeline.')
