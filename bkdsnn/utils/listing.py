"""Which files of a folder are samples, the same for data sets, tools and the inferencer."""
import logging
import os
import os.path as osp
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Tuple, Union

from mmengine.logging import print_log

from bkdsnn.checkpoints.files import some_of

# Of images, as they are read. Cases are alike.
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')
# Folders that systems put beside those whose names begin with a dot.
OF_SYSTEMS = ('__MACOSX', '@eaDir', 'lost+found', '$RECYCLE.BIN', 'System Volume Information')


@dataclass
class Listing:
    """Files below a folder.

    Attributes:
        files: Paths relative to the folder with slashes, in the order of their text.
        skipped: By reason, what else there is, relative too. A folder that is skipped counts once, and ends in a slash.
    """

    files: List[str] = field(default_factory=list)
    skipped: Dict[str, List[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: 'Listing', prefix: str = '') -> None:
        """Add what another listing has, from a folder inside this one."""
        self.files += [prefix + path for path in other.files]
        for reason, paths in other.skipped.items():
            self.skipped[reason] += [prefix + path for path in paths]

    @property
    def summary(self) -> str:
        """How many are skipped and why, with some of their names; empty where none are."""
        number = sum(map(len, self.skipped.values()))
        reasons = '; '.join(f'{len(paths)} {reason}: {some_of(sorted(paths))}' for reason, paths in
                            self.skipped.items())
        return f'{number} of {number + len(self.files)} entries are skipped, {reasons}' if number else ''


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's samples: editors and systems leave such behind."""
    return name.startswith('.') or name in OF_SYSTEMS


def class_folders(root: Union[str, Path]) -> List[str]:
    """Names of the folders in a folder that may be classes, sorted; links to folders count."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))


def list_files(folder: Union[str, Path], extensions: Iterable[str]) -> Listing:
    """Files in a folder and below that end in one of the extensions, whose case does not matter; links are followed.

    Hidden files and folders, broken links, links that lead back to where they are, and what is no file are skipped.

    Args:
        folder: The folder.
        extensions: In lower case.
    """
    listing, endings = Listing(), tuple(extensions)
    _walk(str(folder), '', (), listing, endings)
    listing.files.sort()
    return listing


def list_classes(owner: str, root: Union[str, Path], classes: Sequence[str], extensions: Sequence[str]
                 ) -> List[Tuple[str, str]]:
    """Files of each class, of a folder that has one folder for each; the log counts what is skipped.

    Args:
        owner: Who asks, for the log.
        root: Folder of the class folders.
        classes: Names of these.
        extensions: As of :func:`list_files`.

    Returns:
        Pairs of class and path relative to ``root``, class by class.
    """
    found, whole = [], Listing()
    for name in classes:
        listing = list_files(osp.join(root, name), extensions)
        found += [(name, f'{name}/{path}') for path in listing.files]
        whole.add(listing, f'{name}/')
    for entry in os.scandir(root):
        if is_hidden(entry.name):
            whole.skipped['hidden'].append(entry.name + '/' * entry.is_dir())
        elif not entry.is_dir():
            whole.skipped['in no class folder'].append(entry.name)
    empty = sorted(set(classes) - {name for name, _ in found})
    if whole.summary:
        print_log(f'{owner}: {root}: {whole.summary}.', logger='current', level=logging.WARNING)
    if empty and found:
        print_log(f'{owner}: {root}: {len(empty)} of {len(classes)} classes have no samples: {some_of(empty)}.',
                  logger='current', level=logging.WARNING)
    return found


def _walk(folder: str, prefix: str, above: Tuple[Tuple[int, int], ...], listing: Listing, endings: Tuple[str, ...]
          ) -> None:
    above = (*above, _identity(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            path, is_folder = prefix + entry.name, entry.is_dir()
            if is_hidden(entry.name):
                listing.skipped['hidden'].append(path + '/' * is_folder)
            elif is_folder and _identity(entry.path) in above:
                listing.skipped['linked in a circle'].append(f'{path}/')
            elif is_folder:
                _walk(entry.path, f'{path}/', above, listing, endings)
            elif not osp.exists(entry.path):
                listing.skipped['broken links'].append(path)
            elif not entry.is_file():  # a pipe would be waited for
                listing.skipped['no files'].append(path)
            elif entry.name.lower().endswith(endings):
                listing.files.append(path)
            else:
                listing.skipped['of other kinds'].append(path)


def _identity(folder: str) -> Tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino
