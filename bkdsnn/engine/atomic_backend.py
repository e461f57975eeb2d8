"""A file backend of mmengine that never leaves a half-written file."""
import os
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """Local files, written beside their place and then renamed onto it.

    Used by ``default_hooks.checkpoint.backend_args=dict(backend='atomic')``: a run that is killed while it saves keeps
    the checkpoint it had.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write ``obj`` to ``filepath`` whole or not at all."""
        filepath = Path(filepath)
        partial = filepath.with_name(f'.{filepath.name}.{os.getpid()}.partial')
        try:
            super().put(obj, partial)
            with open(partial, 'rb') as written:
                os.fsync(written.fileno())
            os.replace(partial, filepath)
        finally:
            partial.unlink(missing_ok=True)
