"""Fixed splits: text files with one recording of the test part per line, and their checksums."""
import hashlib
from pathlib import Path
from typing import List

FOLDER = Path(__file__).parent / 'splits'


def read_split(path: str) -> List[str]:
    """The recordings of a test part.

    Args:
        path: A file of your own, or the name of one that ships here, which has to have the checksum in ``SHA256SUMS``.

    Returns:
        Paths relative to the folder of the data set, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, no text, names a recording twice, or is a changed copy of a shipped one.
    """
    checksum = _checksums().get(path)
    file = FOLDER / path if checksum else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'split file {path!r} does not exist. It is a text file with one recording of the test '
                                "part per line, relative to the data set's folder.")
    content = file.read_bytes()
    if checksum and hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(f'{file} has been changed: its SHA-256 is not the one in {FOLDER / "SHA256SUMS"}. Install the '
                         'package again, and give a split of your own as split_file.')
    try:
        recordings = [line.strip() for line in content.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f'split file {file} is no text in UTF-8: {error.reason} at byte {error.start}.') from error
    if not recordings:
        raise ValueError(f'split file {file} is empty.')
    lines = {}
    for number, recording in enumerate(recordings, 1):
        if recording in lines:
            raise ValueError(f'split file {file} names {recording} twice, as entries {lines[recording]} and {number}.')
        lines[recording] = number
    return recordings


def _checksums() -> dict:
    lines = (FOLDER / 'SHA256SUMS').read_text().splitlines()
    return {name: checksum for checksum, name in (line.split() for line in lines)}
