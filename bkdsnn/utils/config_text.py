"""Configs that mmengine writes without making them pretty."""
import contextlib
from typing import Iterator
from unittest import mock

from mmengine.config import config as mmengine_config
from yapf.yapflib import yapf_api


@contextlib.contextmanager
def plain_config_text() -> Iterator[None]:
    """Inside, configs are written as valid Python on long lines.

    A run writes its config half a dozen times, and yapf takes a third of a second for each: longer than a small run.
    """
    with contextlib.ExitStack() as stack:
        # Some versions of mmengine import it when they are imported, others when they write.
        for place in (yapf_api, mmengine_config):
            if hasattr(place, 'FormatCode'):
                stack.enter_context(mock.patch.object(place, 'FormatCode', lambda text, **style: (text + '\n', True)))
        yield
