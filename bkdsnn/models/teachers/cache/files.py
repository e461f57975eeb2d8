"""The files of a cache: one large one for each tap, one with a record for each batch, and what they claim to hold."""
import json
import os
import shutil
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from bkdsnn.runs.lock import alone_in
from bkdsnn.utils.atomic import write_json
from bkdsnn.utils.disk import named

from .taps import StoredTap

# Raise this when the files of an older version are no longer read.
VERSION = 1
CLAIM, RECORDS = 'cache.json', 'records'
DONE = 1


@dataclass(frozen=True)
class Claim:
    """What a cache is said to hold.

    Attributes:
        key: All that what the teacher says depends on.
        taps: What is kept of each batch.
        epochs: After how many epochs the draws repeat.
        processes: Of the training.
        steps: In an epoch of one process.
        batch_size: Most samples in a batch.
    """

    key: Dict[str, Any]
    taps: Tuple[StoredTap, ...]
    epochs: int
    processes: int
    steps: int
    batch_size: int

    @property
    def batches(self) -> int:
        """Of all epochs and processes."""
        return self.epochs * self.processes * self.steps

    def number(self, epoch: int, rank: int, step: int) -> int:
        """Of a batch."""
        return (epoch * self.processes + rank) * self.steps + step

    def batch_bytes(self, tap: StoredTap) -> int:
        """Of a full batch."""
        return tap.sample_bytes * self.batch_size

    @property
    def total_bytes(self) -> int:
        """Of all batches."""
        return self.batches * (sum(map(self.batch_bytes, self.taps)) + self.record.itemsize)

    @property
    def record(self) -> np.dtype:
        """What is known of a batch: a check sum, which batch it was, the taps' orders, and whether it is there.

        The last of these is written last, so that half a record is none.
        """
        return np.dtype([('sum', '<u4'), ('batch', '<u4'), ('samples', '<u4'), ('orders', '<u4', (len(self.taps), )),
                         ('state', '<u4')])

    @classmethod
    def read(cls, folder: Path) -> 'Claim':
        """Of the cache in a folder.

        Raises:
            ValueError: If the file is none of a cache.
        """
        path = folder / CLAIM
        try:
            content = json.loads(path.read_text())
            if content.pop('version') != VERSION:
                raise ValueError('it is of another version')
            taps = tuple(StoredTap(**dict(tap, shape=tuple(tap['shape']))) for tap in content.pop('taps'))
            return cls(taps=taps, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'teacher cache: {path} is damaged or no file of a teacher cache ({error}). Remove the '
                             'folder that it is in, and the cache is filled anew.') from error


class CacheFiles:
    """Batches on disk, at places that are fixed in advance, so that any number of processes may write and read.

    A batch counts once its record is written, after its content; the check sum in the record is over both, so that
    neither a kill nor a crash of the machine passes for a batch. Files have their full length from the beginning, but
    take room on the disk only as they are filled.

    Args:
        folder: Of this cache, with a claim in it; see :meth:`create`.

    Raises:
        ValueError: If a file is missing, or not as long as claimed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.claim = folder, Claim.read(folder)
        for name, size in _sizes(self.claim).items():
            path = folder / name
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                what = 'is missing' if found is None else f'has {found:,} bytes'
                raise ValueError(f'teacher cache: {path} {what}, but a file of {size:,} bytes is claimed: it was cut '
                                 f'off or is another one. Remove {folder}, and the cache is filled anew.')
        self._records = np.memmap(folder / RECORDS, self.claim.record, 'r', shape=(self.claim.batches, ))
        self._taps = [np.memmap(folder / name, np.uint8, 'r', shape=(self.claim.batches, self.claim.batch_bytes(tap)))
                      for name, tap in zip(_names(self.claim), self.claim.taps)]
        self._to_write: Optional[List[int]] = None
        self._checked = np.zeros(self.claim.batches, bool)

    @classmethod
    def create(cls, folder: Path, claim: Claim) -> 'CacheFiles':
        """Open a cache, which is made if there is none.

        Raises:
            OSError: If the disk cannot be written.
            ValueError: If the disk has too little room, or the files that are there are damaged.
        """
        if not (folder / CLAIM).exists():  # which is written last, so that whole caches need no lock
            with named(folder):
                folder.mkdir(parents=True, exist_ok=True)
                with alone_in(folder):
                    if not (folder / CLAIM).exists():
                        check_room(folder, claim.total_bytes, claim)
                        for name, size in _sizes(claim).items():
                            with open(folder / name, 'wb') as file:
                                file.truncate(size)
                        write_json(folder / CLAIM, dict(asdict(claim), version=VERSION))
        return cls(folder)

    @property
    def done(self) -> np.ndarray:
        """Whether each batch is there, (batches, )."""
        return self._records['state'] == DONE

    @property
    def stored_bytes(self) -> int:
        """What the files take on the disk."""
        return sum((self.folder / name).stat().st_blocks * 512 for name in _sizes(self.claim))

    def check_room(self) -> None:
        """Raise ValueError if the disk has too little room for what is missing."""
        missing = int(np.count_nonzero(~self.done)) * self.claim.total_bytes // self.claim.batches
        check_room(self.folder, missing, self.claim)

    def write(self, number: int, contents: Sequence[np.ndarray], batch: int, samples: int, orders: Sequence[int]
              ) -> None:
        """Put a batch at its place.

        Args:
            number: See :meth:`Claim.number`.
            contents: Bytes, by tap.
            batch: Check sum of what the teacher was asked about.
            samples: Number of them.
            orders: Of the axes, by tap.

        Raises:
            OSError: If the disk takes no more, with the file's name.
        """
        if self._to_write is None:
            # Not through the map: where a disk is full, that would end the process without a word.
            self._to_write = [_open(self.folder / name) for name in _sizes(self.claim)]
        record = np.zeros((), self.claim.record)
        record['state'], record['batch'], record['samples'], record['orders'] = DONE, batch, samples, orders
        record['sum'] = _check_sum(record, contents)
        *places, last = zip(_sizes(self.claim), self._to_write)
        for (name, file), content, tap in zip(places, contents, self.claim.taps):
            with named(self.folder / name):
                _write_all(file, memoryview(content), number * self.claim.batch_bytes(tap))
        with named(self.folder / RECORDS):
            _write_all(last[1], memoryview(record.tobytes()), number * record.itemsize)
        self._checked[number] = True

    def read(self, number: int) -> Optional[Tuple[np.void, List[np.ndarray]]]:
        """Record and contents of a batch, which belong to the caller; ``None`` if it is not there.

        Raises:
            ValueError: If a byte of it is another one than was written.
        """
        record = self._records[number].copy()
        if record['state'] != DONE:
            return None
        contents = [content[number, :tap.sample_bytes * int(record['samples'])].copy()
                    for content, tap in zip(self._taps, self.claim.taps)]
        if not self._checked[number]:
            if record['samples'] > self.claim.batch_size or record['sum'] != _check_sum(record, contents):
                raise ValueError(f'wrong check sum of batch {number} in {self.folder}')
            self._checked[number] = True
        return record, contents


def _names(claim: Claim) -> List[str]:
    """Of the taps' files."""
    return [f'{i}-{"".join(c if c.isalnum() else "_" for c in tap.path)[:80]}.tap' for i, tap in enumerate(claim.taps)]


def _sizes(claim: Claim) -> Dict[str, int]:
    """Of all files but the claim, the records' last."""
    sizes = {name: claim.batches * claim.batch_bytes(tap) for name, tap in zip(_names(claim), claim.taps)}
    return dict(sizes, **{RECORDS: claim.batches * claim.record.itemsize})


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY)
    except OSError as error:
        raise OSError(f'teacher cache: {path} cannot be written: {error.strerror}. Choose another '
                      'model.teacher_cache.folder, or have it filled by who may write there.') from error


def _write_all(file: int, content: memoryview, offset: int) -> None:
    """Write bytes at a place; a system may take them in several parts."""
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def _check_sum(record: np.ndarray, contents: Sequence[np.ndarray]) -> int:
    """Of a batch, and of what its record says besides."""
    record = record.copy()
    record['sum'] = 0
    total = zlib.crc32(record.tobytes())
    for content in contents:
        total = zlib.crc32(content, total)
    return total


def check_room(folder: Path, needed: int, claim: Claim) -> None:
    """Check that a disk can hold what is to be written.

    Raises:
        ValueError: If not; the message says what is needed, what there is, and what makes it less.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        parts = ', '.join(f'{tap.path} {tap.sample_bytes / 1e3:,.1f} kB' for tap in claim.taps)
        raise ValueError(
            f'teacher cache: {needed / 1e9:,.2f} GB are needed for {claim.epochs} epochs, but in {folder} '
            f'{free / 1e9:,.2f} GB are free. A sample takes {parts}. Make it smaller by '
            "EpochSeedHook.augmentation_epochs, model.teacher_cache.dtype='float16' or .top_k, or choose another "
            'model.teacher_cache.folder.')
