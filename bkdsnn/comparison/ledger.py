"""What is known of finished runs: one line of JSON each."""
import json
import os
from pathlib import Path
from typing import Dict, Optional, Tuple

from filelock import FileLock
from mmengine.logging import print_log

# Hash of the config, seed, and the split that was measured.
Key = Tuple[str, int, str]


class Ledger:
    """A file of results that several processes read and append to.

    A finished run counts once: of two lines on the same run the first, but a finished one before a failed one.

    Args:
        path: The file; it need not exist.
        retry_before: Failed runs of before this date (ISO 8601, UTC) do not count.
    """

    def __init__(self, path: Path, retry_before: Optional[str] = None) -> None:
        self.path, self.retry_before = Path(path), retry_before or ''
        self._lines: Dict[Key, dict] = {}
        self._offset = 0

    def append(self, line: dict) -> None:
        """Add a line, whole and on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(line, allow_nan=False) + '\n'
        with FileLock(f'{self.path}.lock'), open(self.path, 'ab+') as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b'\n':  # half a line of a process that was killed
                    text = '\n' + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> Dict[Key, dict]:
        """All runs so far; only what is new is read."""
        if self.path.is_file():
            with open(self.path, 'rb') as file:
                file.seek(self._offset)
                new, _, rest = file.read().rpartition(b'\n')
                self._offset = file.tell() - len(rest)
            for text in filter(None, new.splitlines()):
                self._take(text)
        return self._lines

    def _take(self, text: bytes) -> None:
        try:
            line = json.loads(text)
            key = line['config_hash'], line['seed'], line['split']
            failed, date = line['status'] == 'failed', line['date']
        except (ValueError, KeyError, TypeError) as error:
            print_log(f'{self.path} has a line that is no result ({error}): {text[:80]!r}', level=30)
            return
        known = self._lines.get(key)
        if failed and date < self.retry_before or known and (failed or known['status'] != 'failed'):
            return
        self._lines[key] = line
