"""Files that are written whole or not at all."""
import json
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Callable, Union


def write_atomically(path: Union[str, Path], write: Callable[[BinaryIO], None], sync: bool = False) -> None:
    """Write a file beside its place and rename it onto it, so that no reader ever sees half of it.

    Args:
        path: The file.
        write: Writes the content to the binary file that it is given.
        sync: Whether to wait until the content is on the disk, so that it outlives a crash of the machine.
    """
    path = Path(path)
    partial = path.with_name(f'.{path.name[:100]}.{uuid.uuid4().hex[:12]}.partial')
    try:
        with open(partial, 'wb') as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Union[str, Path], content: object) -> None:
    """Write a JSON file, indented; numbers must be finite, since JSON has no others."""
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    write_atomically(path, lambda file: file.write(text.encode()))
