"""Archives of published data sets: downloaded, or found beside their place, checked, and unpacked once."""
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import torch
from filelock import FileLock
from mmengine.logging import print_log
from mmengine.utils import ProgressBar
from mmpretrain.datasets.utils import calculate_md5

# Python before 3.10.12 and 3.11.4 has no filter against entries that lead elsewhere.
FILTER = dict(filter='data') if hasattr(tarfile, 'data_filter') else {}


@dataclass(frozen=True)
class Archive:
    """A published file.

    Attributes:
        name: Of the file.
        url: Where it is.
        md5: Its checksum.
    """

    name: str
    url: str
    md5: str

    def __str__(self) -> str:
        return f'{self.name} from {self.url} (MD5 {self.md5})'


def unpack_once(archive: Archive, folder: str, is_unpacked: Callable[[], bool]) -> bool:
    """Unpack an archive that lies in ``folder`` into it, with the zip files inside, unless that was done before.

    One process unpacks, others wait for it. What an interrupted run has left is made anew. The archive stays.

    Args:
        archive: What to look for; upper and lower case are the same.
        folder: Where it lies.
        is_unpacked: Tells whether the files are there already.

    Returns:
        Whether there is an archive.

    Raises:
        ValueError: If the archive's checksum is wrong, or it is no archive.
    """
    folder = Path(folder)
    files = folder.iterdir() if folder.is_dir() else ()
    found = [path for path in files if path.name.lower() == archive.name.lower()]
    if not found:
        return False
    path = found[0]
    unfinished = folder / f'.{path.name}.unfinished'
    if is_unpacked() and not unfinished.exists():
        return True
    with FileLock(folder / f'.{path.name}.lock'):
        if is_unpacked() and not unfinished.exists():  # another process did it
            return True
        _check_md5(path, archive.md5)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        print_log(f'{path} is unpacked into {folder}.', logger='current')
        try:
            _unpack_all(path, unfinished)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise ValueError(f'{path} cannot be unpacked: {error}. Get it again from {archive.url}.') from error
        for entry in sorted(unfinished.iterdir()):
            shutil.rmtree(folder / entry.name, ignore_errors=True)
            entry.rename(folder / entry.name)
        unfinished.rmdir()
    return True


def download_once(archive: Archive, folder: Path) -> Path:
    """Get a file into ``folder`` unless it is there; one process downloads, others wait for it.

    Returns:
        Its path.

    Raises:
        OSError: If it cannot be downloaded, or written.
        ValueError: If what came is another file; nothing of it stays.
    """
    path, partial = folder / archive.name, folder / f'.{archive.name}.download'
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f'.{archive.name}.lock'):
        if path.is_file():
            return path
        print_log(f'{archive.url} is downloaded to {path}.', logger='current')
        try:
            torch.hub.download_url_to_file(archive.url, str(partial))
            _check_md5(partial, archive.md5)
            partial.replace(path)
        except OSError as error:
            raise OSError(f'{archive.url} cannot be downloaded to {path}: {error}.') from error
        finally:
            partial.unlink(missing_ok=True)
    return path


def _check_md5(path: Path, expected: str) -> None:
    found = calculate_md5(str(path))
    if found != expected:
        raise ValueError(f'{path} has the MD5 {found} and not {expected}: the download is not complete, or it is '
                         'another file. Remove it and get it again.')


def _unpack_all(path: Path, folder: Path) -> None:
    """Unpack a zip or tar file, and the zip files inside it."""
    _unpack(path, folder)
    while inner := next(folder.rglob('*.zip'), None):
        _unpack(inner, inner.parent)
        inner.unlink()


def _unpack(path: Path, folder: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # Archives made on a Mac hold a shadow of each file, with the same extension.
            for name in _with_progress([name for name in archive.namelist() if not name.startswith('__MACOSX/')]):
                archive.extract(name, folder)
    else:
        with tarfile.open(path) as archive:
            for member in _with_progress(archive.getmembers()):
                if not FILTER:
                    _check_member(member, folder)
                archive.extract(member, folder, **FILTER)


def _check_member(member: tarfile.TarInfo, folder: Path) -> None:
    """Raise TarError unless an entry is a file or folder inside ``folder``; data sets hold nothing else."""
    target = (folder / member.name).resolve()
    if not (member.isfile() or member.isdir()) or folder.resolve() not in (target, *target.parents):
        raise tarfile.ExtractError(f'it holds {member.name!r}, which is no file or folder inside it')


def _with_progress(members: list) -> Iterator:
    bar = ProgressBar(len(members)) if members else None
    for member in members:
        yield member
        bar.update()
