"""Logged values in files, whose names are in errors about them."""
from mmengine.visualization import LocalVisBackend as MMEngineLocalVisBackend

from bkdsnn.registry import VISBACKENDS
from bkdsnn.utils.disk import named


@VISBACKENDS.register_module()
class LocalVisBackend(MMEngineLocalVisBackend):
    """mmengine's backend of that name, in whose place it is; a full disk is an error that names the file."""

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        with named(file_path):
            super()._dump(value_dict, file_path, file_format)
