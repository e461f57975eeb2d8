"""Image files: whole ones are told from damaged ones, and those whose values 8 bits do not hold are refused."""
import io
import warnings
import zlib
from pathlib import Path
from typing import Optional

import cv2
import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
BIT_DEPTH = 24  # where a PNG has it
END_OF_JPEG = b'\xff\xd9'
# Below, the uppermost bits of 16 are not used: cameras give 10, 12 or 14.
LEAST_OF_16_BITS = 2**14


def decode_file(path: Path, gray: bool) -> np.ndarray:
    """An image file as gray (H, W) or BGR (H, W, 3), upright, as the data sets read it.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is damaged, cut off, no image, or its values do not fit 8 bits; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist.')
    content = path.read_bytes()
    check_image(content, path)
    try:
        decoded = mmcv.imfrombytes(content, flag='grayscale' if gray else 'color')
    except cv2.error as error:
        raise _unreadable(path, str(error)) from error
    if decoded is None:
        raise _unreadable(path, 'OpenCV does not take it')
    return decoded


def check_image(content: bytes, path: object, to_8_bits: bool = True) -> None:
    """Check a file before it is decoded: decoders make up what is missing, and some values.

    What has a checksum or an end is held to it. Bytes that were changed inside other formats make another valid image,
    which nothing tells.

    Args:
        content: Of the file.
        path: Its name, for errors.
        to_8_bits: Whether it will be decoded to 8 bits a channel.

    Raises:
        OSError: If it is damaged, cut off or no image, or its values do not fit 8 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of what makes no difference to pixels
            is_deep = _check_whole(content)
    except UnidentifiedImageError as error:
        if _as_it_is(content) is None:
            raise _unreadable(path, 'it is of no known format' if content else 'it is empty') from error
        is_deep = True
    except Exception as error:  # each format has its own
        raise _unreadable(path, str(error).rstrip('.') or type(error).__name__) from error
    problem = _lost_in_8_bits(content) if is_deep and to_8_bits else None
    if problem:
        raise OSError(f'{path} has {problem}. Scale the values to 0 to 255 and save them with 8 bits.')


def _unreadable(path: object, reason: str) -> OSError:
    reason = ' '.join(reason.split())
    return OSError(f'{path} cannot be read as an image: {reason}. It may be damaged or cut off.')


def _check_whole(content: bytes) -> bool:
    """Raise whatever Pillow does for a file that is not whole; returns whether there may be more than 8 bits."""
    with Image.open(io.BytesIO(content)) as image:
        if image.format == 'PNG':
            _check_png(content)
            return content[BIT_DEPTH] > 8
        if image.format in ('JPEG', 'MPO') and content.endswith(END_OF_JPEG):
            return False
        image.load()
        return image.format not in ('JPEG', 'MPO', 'WEBP', 'BMP')


def _check_png(content: bytes) -> None:
    """Check the checksums of all chunks, which Pillow does not look at in pixels."""
    start, kind = len(PNG_SIGNATURE), b''
    while kind != b'IEND':
        length = int.from_bytes(content[start:start + 4], 'big')
        end = start + 8 + length
        kind, crc = content[start + 4:start + 8], content[end:end + 4]
        if len(crc) < 4:
            raise ValueError('it ends too early')
        if int.from_bytes(crc, 'big') != zlib.crc32(memoryview(content)[start + 4:end]):
            raise ValueError(f'wrong checksum of its part {kind!r}')
        start = end + 4


def _lost_in_8_bits(content: bytes) -> Optional[str]:
    """What is wrong with decoding an image of more bits to 8, which keeps the upper 8 of 16."""
    values = _as_it_is(content)
    if values is None or values.dtype == np.uint8:
        return None  # the decoder will say what is wrong, if anything is
    if values.dtype != np.uint16:
        return f'pixels of {values.dtype}'
    largest = int((values if values.ndim == 2 else values[..., :3]).max())  # not of opacity
    if not 0 < largest < LEAST_OF_16_BITS:
        return None
    return (f'16 bits a channel, of which its values, up to {largest}, use the lower {largest.bit_length()} alone; '
            f'decoded to 8 bits they would be 0 to {largest >> 8}')


def _as_it_is(content: bytes) -> Optional[np.ndarray]:
    """An image with all of its bits, ``None`` if OpenCV does not take it."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
