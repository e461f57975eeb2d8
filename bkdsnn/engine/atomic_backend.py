"""A file backend of mmengine that never leaves a half-written file."""
from pathlib import Path
from typing import Union

from mmengine.fileio import LocalBackend, register_backend

from bkdsnn.utils.atomic import write_atomically


@register_backend('atomic')
class AtomicLocalBackend(LocalBackend):
    """Local files, written beside their place and then renamed onto it.

    Used by ``default_hooks.checkpoint.backend_args=dict(backend='atomic')``: a run that is killed while it saves keeps
    the checkpoint it had.
    """

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Write ``obj`` to ``filepath`` whole or not at all."""
        Path(filepath).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(filepath, lambda file: file.write(obj), sync=True)
