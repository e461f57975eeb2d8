"""Checks of a config before anything is built from it: the one place for what can be wrong with settings.

They run in the order of what they cost, and the first problem ends them:

1. ``parts.py``: is what each ``type`` names registered? ``places.py`` says what stands where.
2. ``keys.py``: does anything read each key?
3. ``ranges.py``: does each value make sense? A table says which do, and the types that arguments are declared to have.
4. ``relations.py``: is there what a setting needs beside it?
5. ``shapes.py``: do channels, classes and views fit each other?
6. ``trial.py``: do the parts that cost nothing build?
7. ``training.py``, before training alone: is there what trains each part?
8. ``on_disk.py``: are the folders of data there, and then the files? Downloads come after that, when models are built.
9. ``built.py``: with the data sets built, is there a step in an epoch, and does a sample fit the model?
   ``last_batch.py``: can it be trained on the last batch, where that is of one sample?

``bkdsnn/config/files.py`` reads config files, ``options.py`` merges those of the command line.
"""
from typing import Sequence

from mmengine.config import Config

from bkdsnn.utils import quiet  # noqa: F401  first, as it imports mmpretrain without its noise

from .built import check_built
from .keys import check_keys
from .on_disk import asks_for_teacher, check_data, check_files
from .options import check_options, found_at, merge_options
from .parts import parts_of
from .places import ROOTS
from .ranges import check_finite, check_values
from .relations import check_relations, check_scope
from .shapes import check_shapes
from .training import check_training
from .trial import try_parts

__all__ = ['MODEL', 'asks_for_teacher', 'check_built', 'check_config', 'check_disk', 'check_options', 'check_training',
           'found_at', 'merge_options', 'parts_of']
# Of a config, what its network is built from.
MODEL = ('model', 'data_preprocessor')


def check_config(cfg: Config, roots: Sequence[str] = ROOTS) -> None:
    """Check a config, as far as it costs nothing.

    Args:
        cfg: A config, or a part of one.
        roots: At which keys at its top to look; ``MODEL`` for those of its network.

    Raises:
        ValueError: For the first problem. The message names the config key, and the nearest right name or what the
            value may be.
    """
    check_scope(cfg)
    parts = list(parts_of(cfg, roots))
    for part in parts:
        check_keys(part)
    for part in parts:
        check_values(part)
    for key in roots:
        check_finite(cfg.get(key), key)
    if tuple(roots) == ROOTS:
        check_relations(cfg, parts)
        check_shapes(cfg, parts)
        try_parts(cfg, parts)


def check_disk(cfg: Config, splits: Sequence[str]) -> None:
    """Check that the data and files that a config names are there: folders of data first, then files of weights.

    Args:
        cfg: A config that :func:`check_config` has let pass.
        splits: Whose data are used, of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError, ValueError: For the first that is missing or other than expected.
    """
    parts = list(parts_of(cfg))
    check_data(cfg, parts, splits)
    check_files(cfg, parts)
