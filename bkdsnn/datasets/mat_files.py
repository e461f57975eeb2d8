"""MATLAB's files: damage is found before SciPy reads them, whose parser it can end with the whole process."""
import struct
import zlib
from pathlib import Path
from typing import Iterator, Tuple

import numpy as np

HEADER = 128
MATRIX, COMPRESSED = 14, 15
# Bytes of a number, by MATLAB's type of the data.
BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
NUMERIC = range(6, 16)  # MATLAB's classes: double, single, and integers
COMPLEX = 0x0800


def check_mat(path: str) -> None:
    """Check that a file of version 5 holds arrays of numbers alone, each as long as it says.

    Raises:
        ValueError: If not.
    """
    content = Path(path).read_bytes()
    order = {b'IM': '<', b'MI': '>'}.get(content[HEADER - 2:HEADER])
    if order is None:
        raise ValueError('it does not begin as a file of MATLAB 5 does')
    for kind, data in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            try:
                (kind, data), = _elements(zlib.decompress(data), order)
            except zlib.error as error:
                raise ValueError(f'it cannot be decompressed: {error}') from error
        if kind != MATRIX:
            raise ValueError(f'it has a part of the kind {kind}, which is no array')
        _check_array(list(_elements(data, order)), order)


def _elements(data: bytes, order: str) -> Iterator[Tuple[int, bytes]]:
    """Kind and content of each of the parts that follow one another."""
    start = 0
    while start < len(data):
        if len(data) - start < 8:
            raise ValueError('it ends too early')
        kind, length = struct.unpack_from(f'{order}II', data, start)
        begin = start + 8
        if kind >> 16:  # a short one, in its own head
            kind, length, begin = kind & 0xffff, kind >> 16, start + 4
        if begin + length > len(data) or begin == start + 4 and length > 4:
            raise ValueError('it ends too early')
        yield kind, data[begin:begin + length]
        start = begin + length if kind == COMPRESSED else -(-(begin + length) // 8) * 8


def _check_array(parts: list, order: str) -> None:
    kinds = [kind for kind, _ in parts]
    if kinds[:3] != [6, 5, 1] or len(parts[0][1]) != 8 or len(parts[1][1]) % 4 or len(parts[1][1]) < 8:
        raise ValueError('it has a damaged array')
    flags, = struct.unpack_from(f'{order}I', parts[0][1])
    shape = np.frombuffer(parts[1][1], f'{order}i4').tolist()
    number = int(np.prod(shape, dtype=object))
    if flags & 0xff not in NUMERIC or min(shape) < 0 or len(parts) != (5 if flags & COMPLEX else 4):
        raise ValueError('it has something else than arrays of numbers')
    for kind, data in parts[3:]:
        if kind not in BYTES or len(data) != number * BYTES[kind]:
            raise ValueError(f'an array of {"x".join(map(str, shape))} numbers has {len(data)} bytes')
