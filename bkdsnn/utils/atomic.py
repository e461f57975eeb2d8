"""Files that are written whole or not at all."""
import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Callable, Union

from .disk import named

PARTIAL = '.partial'


def write_atomically(path: Union[str, Path], write: Callable[[BinaryIO], None], sync: bool = False) -> None:
    """Write a file beside its place and rename it onto it, so that no reader ever sees half of it.

    Args:
        path: The file.
        write: Writes the content to the binary file that it is given.
        sync: Whether to wait until the content is on the disk, so that it outlives a crash of the machine.

    Raises:
        OSError: If it cannot be written, with the file's name.
    """
    path = Path(path)
    partial = path.with_name(f'.{path.name[:100]}.{uuid.uuid4().hex[:12]}{PARTIAL}')
    try:
        with named(path):
            with _opened(partial, path) as file:
                write(file)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):  # on a file system that can only be read, even if there is none
            partial.unlink()


def _opened(partial: Path, path: Path) -> BinaryIO:
    """The file to write; an error names the one that is meant."""
    try:
        return open(partial, 'wb')
    except OSError as error:
        error.filename = str(path)
        raise


def remove_partial(folder: Union[str, Path], pattern: str) -> None:
    """Remove what kills have left of files that were being written.

    Args:
        folder: Where nobody else is writing them.
        pattern: Of the files' names, such as ``'*.pth'``.
    """
    for partial in Path(folder).glob(f'.{pattern}.*{PARTIAL}'):
        partial.unlink(missing_ok=True)


def write_json(path: Union[str, Path], content: object) -> None:
    """Write a JSON file, indented; numbers must be finite, since JSON has no others."""
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    write_atomically(path, lambda file: file.write(text.encode()))
