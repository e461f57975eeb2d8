"""Files with the events of one recording: AEDAT4, structured ``.npy`` arrays, and the ``.bin`` files of N-MNIST."""
from pathlib import Path
from typing import Union

import numpy as np

from bkdsnn.utils.atomic import write_atomically

from .clocks import Clock
from .events import FIELDS, check_fields

# Wide enough for the integers of any file.
DTYPE = np.dtype([(name, np.int64) for name in FIELDS])
BYTES_PER_EVENT, BITS_OF_BIN = 5, 23  # of an event in a .bin file, and of its time
AEDAT4_MAGIC = b'#!AER-DAT4.0\r\n'


def read_events(path: Union[str, Path]) -> np.ndarray:
    """The events of one recording, in the order of the file.

    Args:
        path: A ``.aedat4`` file, of which the event stream with the lowest number is read; a ``.npy`` file with a
            structured array (N,) that has the integer fields ``x``, ``y``, ``t`` and ``p`` in any order; or a ``.bin``
            file in the format of N-MNIST and N-Caltech101. Times are in microseconds.

    Returns:
        Structured array (N,) with the int64 fields ``x``, ``y``, ``t`` (microseconds) and ``p``; N is 0 for a recording
        without events.

    Raises:
        ValueError: If the extension is unknown.
        FileNotFoundError: If there is no such file.
        OSError: If the file is damaged, cut off within a packet or an event, or of another format; the message names
            it. One that is cut off between two packets or events cannot be told from a shorter recording.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f'{path} has the extension {path.suffix!r}, but events are read from '
                         f'{", ".join(EXTENSIONS)}.')
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist.')
    name, read = READERS[path.suffix.lower()]
    try:
        return to_int64(read(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # aedat's panics are no Exception
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip('.')
        raise OSError(f'{path} cannot be read as {name}: {reason}. The file may be damaged, cut off, or of another '
                      'format.') from error


def write_events(path: Union[str, Path], events: np.ndarray) -> None:
    """Write events as a ``.npy`` file that :func:`read_events` reads, whole or not at all.

    Args:
        path: The file.
        events: Structured array (N,) with the integer fields ``x``, ``y``, ``t`` (microseconds) and ``p``.

    Raises:
        ValueError: If the extension is not ``.npy``, or a field is missing or not of integers.
    """
    if Path(path).suffix != '.npy':
        raise ValueError(f'{path} has the extension {Path(path).suffix!r}, but events are written as .npy.')
    check_fields(events)
    write_atomically(path, lambda file: np.save(file, events))


def _read_aedat4(path: Path) -> np.ndarray:
    from tonic.io import read_aedat4  # heavy, and only needed where events are read
    _check_description(path)
    try:
        events = read_aedat4(str(path))
    except ValueError:  # from joining no packets
        if _has_packets(path):
            raise
        return np.zeros(0, DTYPE)
    return events.astype([('p' if name == 'on' else name, events.dtype[name]) for name in events.dtype.names])


def _check_description(path: Path) -> None:
    """Check the text in the header: where it is not UTF-8, aedat 2.3 ends the whole process instead of raising."""
    with open(path, 'rb') as file:
        if file.read(len(AEDAT4_MAGIC)) != AEDAT4_MAGIC:
            raise ValueError('it does not begin as such a file does')
        header = file.read(int.from_bytes(file.read(4), 'little'))
    start, end = header.find(b'<dv'), header.rfind(b'</dv>')
    if start >= 0:
        header[start:end if end >= 0 else None].decode()


def _has_packets(path: Path) -> bool:
    """Whether a valid AEDAT4 file has packets in the stream that tonic reads."""
    from aedat import Decoder  # only needed for such files
    decoder = Decoder(str(path))
    stream = min(number for number, stream in decoder.id_to_stream().items() if stream['type'] == 'events')
    return any(packet['stream_id'] == stream for packet in decoder)


def _read_npy(path: Path) -> np.ndarray:
    with open(path, 'rb') as file:
        array = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError('it is an archive of arrays')
        if file.read(1):
            raise ValueError(f'it goes on after the {len(array) if array.ndim else 1} entries that its header names')
    return array


def _read_bin(path: Path) -> np.ndarray:
    from tonic.io import read_mnist_file  # heavy, as above
    size = path.stat().st_size
    if size % BYTES_PER_EVENT:  # tonic would drop the rest
        raise ValueError(f'its {size} bytes are no multiple of the {BYTES_PER_EVENT} of an event')
    events = read_mnist_file(str(path), dtype=DTYPE)
    events['t'] = Clock((2**BITS_OF_BIN, ))(events['t'])
    return events


def to_int64(events: np.ndarray) -> np.ndarray:
    """A copy of events with int64 fields ``x``, ``y``, ``t`` and ``p`` and no others.

    Raises:
        ValueError: If a field is missing or not of integers, or a number needs more than 63 bits.
    """
    check_fields(events)
    result = np.empty(len(events), DTYPE)
    for name in FIELDS:
        result[name] = events[name]
        if events.dtype[name] == np.uint64 and result[name].min(initial=0) < 0:
            raise ValueError(f'event {int(result[name].argmin())} has {name}={events[name].max()}, which is not '
                             'possible')
    return result


READERS = {'.aedat4': ('AEDAT4', _read_aedat4), '.npy': ('a NumPy array', _read_npy), '.bin': ('N-MNIST', _read_bin)}
EXTENSIONS = tuple(READERS)
