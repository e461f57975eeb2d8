"""Frames on disk: one file per recording, checked whenever it is read."""
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Callable, Optional, Tuple

import numpy as np
from mmengine.logging import print_log

from bkdsnn.utils.atomic import write_atomically

from .transforms.base import Frames

# Raise this when a transform that is not random, a reader or the simulated camera changes its result.
VERSION = 1


class FrameCache:
    """Keeps what the deterministic first part of a pipeline made of each recording.

    An entry is valid for one content of the recording's file, one framing and one ``VERSION``. As in git, a file whose
    size and time of modification are those of the entry is taken to be unchanged; otherwise its SHA-256 decides.
    Entries are written beside their place and renamed, so any number of workers and processes may share a folder, and
    are stored in the smallest integers that hold them exactly.

    Args:
        folder: Where the caches are. This one gets a folder of its own inside.
        source: What the recordings are: the data set's name, and whatever else changes them.
        framing: The transforms, as text that names all their arguments.
    """

    def __init__(self, folder: str, source: str, framing: str) -> None:
        self.key = dict(source=source, framing=framing, version=VERSION)
        digest = hashlib.sha256(json.dumps(self.key).encode()).hexdigest()[:12]
        self.folder = Path(folder) / f'{source.split("(")[0]}-{digest}'

    def get(self, recording: str, path: Optional[str], make: Callable[[], Frames], rebuild: bool = False) -> Frames:
        """The frames of one recording, from the cache or made and put there.

        Args:
            recording: Its name within the source.
            path: Its file; ``None`` if ``recording`` and the source determine the events.
            make: Makes the frames.
            rebuild: Whether to make them anew in any case.

        Raises:
            OSError: If an entry cannot be written; the message says where.
        """
        entry = self.folder / f'{recording.replace("/", "__")}.npz'
        stat = _stat(path)
        if not rebuild and entry.exists():
            try:
                meta, frames = _read(entry)
                self._check(meta, recording)
            except Exception as error:  # NumPy and zipfile raise many kinds for damaged files
                print_log(f'{entry} is damaged or foreign ({error}); it is made anew.', logger='current',
                          level=logging.WARNING)
            else:
                if meta['stat'] == stat:
                    return frames
                if meta['sha256'] == _sha256(path):  # copied or touched
                    self._write(entry, dict(meta, stat=stat), frames)
                    return frames
        digest = _sha256(path)
        frames = make()
        self._write(entry, dict(self.key, recording=recording, stat=stat, sha256=digest), frames)
        return frames

    def size(self) -> Tuple[int, int]:
        """Number of entries and their bytes."""
        sizes = [entry.stat().st_size for entry in self.folder.glob('*.npz')]
        return len(sizes), sum(sizes)

    def _check(self, meta: dict, recording: str) -> None:
        for name, expected in dict(self.key, recording=recording).items():
            if meta[name] != expected:
                raise ValueError(f'{name} is {meta[name]!r} and not {expected!r}')

    def _write(self, entry: Path, meta: dict, frames: Frames) -> None:
        views = frames if isinstance(frames, dict) else dict(frames=frames)
        meta = dict(meta, views=isinstance(frames, dict), dtypes={name: str(f.dtype) for name, f in views.items()})
        arrays = {name: _smallest(f) for name, f in views.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(entry, lambda file: np.savez(file, meta=json.dumps(meta), **arrays))
        except OSError as error:
            raise OSError(f'{entry} cannot be written: {error}. Free some space, choose another cache_dir in the '
                          "data set's config, or set it to None.") from error


def _read(entry: Path) -> Tuple[dict, Frames]:
    """Meta data and frames of an entry; the archive's checksums are verified on the way."""
    with np.load(entry) as archive:
        meta = json.loads(str(archive['meta']))
        views = {name: archive[name].astype(dtype) for name, dtype in meta['dtypes'].items()}
    return meta, views if meta['views'] else views['frames']


def _smallest(frames: np.ndarray) -> np.ndarray:
    """The same numbers as unsigned integers of 8 or 16 bits, if those hold them exactly."""
    for dtype in (np.uint8, np.uint16):
        # As Python numbers, since infinity is not above 65,535 in half precision.
        if frames.size and frames.min() >= 0 and frames.max().item() <= np.iinfo(dtype).max:
            small = frames.astype(dtype)
            if (small == frames).all():
                return small
    return frames


def _stat(path: Optional[str]) -> Optional[list]:
    if path is None:
        return None
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def _sha256(path: Optional[str]) -> Optional[str]:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
