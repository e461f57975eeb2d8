"""Are the data and the files there that a config names? Looked up before networks are built and weights downloaded."""
import inspect
import os
import os.path as osp
from typing import Iterable, List, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

from bkdsnn.checkpoints.files import resolve

from ..networks import teachers_by_key, way_to_weights
from .parts import Part

# Keys of files with weights.
WEIGHTS = ('checkpoint', 'checkpoint_path')
# Whose data sets make no folders.
LIBRARIES = ('mmpretrain.', 'mmengine.')
# What tells a data set to read nothing yet.
UNREAD = dict(lazy_init=True, pipeline=[], cache_dir=None)


def check_data(cfg: Config, parts: List[Part], splits: Sequence[str]) -> None:
    """Check that the folders of data sets are there, as far as that takes no listing of files.

    A data set of one's own is asked, too, if it has a method ``check_files()``.

    Args:
        cfg: The config.
        parts: Of it.
        splits: Whose data, of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError, ValueError: For the first folder that is missing or is another one; the message says what is
            expected where.
    """
    places = tuple(f'{split}_dataloader.dataset' for split in splits)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'bkdsnn'):
        for part in parts:
            if not part.path.startswith(places) or not inspect.isclass(part.found) or not issubclass(
                    part.found, BaseDataset):
                continue
            if hasattr(part.found, 'check_files'):
                settings = {**part.node, **{k: v for k, v in UNREAD.items() if k in part.arguments.named}}
                try:
                    part.found(**{k: v for k, v in settings.items() if k not in ('type', '_scope_')}).check_files()
                except (OSError, ValueError) as error:
                    kind = FileNotFoundError if isinstance(error, OSError) else ValueError
                    raise kind(f'{part.path}: {error}') from error
            elif part.found.__module__.startswith(LIBRARIES):
                _check_root(part)


def check_files(cfg: Config, parts: List[Part]) -> None:
    """Check that local files of weights, and configs of teachers, are there.

    Raises:
        FileNotFoundError: For the first that is not; the message says what else may be given, and how to make it.
    """
    model = cfg.get('model') or {}
    if model.get('teacher') is not None and asks_for_teacher(parts):
        for key, teacher in teachers_by_key(model.teacher).items():
            _check_teacher(key, teacher)
    for part in parts:
        for key in WEIGHTS:
            if not part.path.startswith('model.teacher') and isinstance(part.node.get(key), str):
                _check_weights(part.at(key), part.node[key])
    if isinstance(cfg.get('load_from'), str):
        _check_weights('load_from', cfg.load_from)


def _check_root(part: Part) -> None:
    """The folder of a data set that does not say what it needs."""
    root = part.node.get('data_root')
    if isinstance(root, str) and root and '://' not in root and not osp.isdir(osp.expanduser(root)) \
            and not part.node.get('download', 'download' in part.arguments.named):
        raise FileNotFoundError(f'{part.at("data_root")}={root!r}: there is no such folder (looked in {os.getcwd()}). '
                                f'Name it with --cfg-options {part.at("data_root")}=FOLDER.')


def asks_for_teacher(parts: Iterable[Part]) -> bool:
    """Whether a distiller's loss asks for the teacher; otherwise it is not built."""
    losses = [part.found for part in parts if part.path.startswith('model.losses.') and part.path.count('.') == 2]
    return any({'teacher', 'teacher_part'} & set(inspect.signature(loss.forward).parameters) for loss in losses
               if hasattr(loss, 'forward'))


def _check_teacher(path: str, teacher: dict) -> None:
    network, checkpoint = teacher.get('model'), teacher.get('checkpoint')
    if isinstance(network, str) and network.endswith('.py') and not osp.isfile(network):
        raise FileNotFoundError(f'{path}.model={network!r}: there is no such config (looked in {os.getcwd()}).')
    if isinstance(checkpoint, str) and checkpoint != 'pretrained':
        _check_weights(f'{path}.checkpoint', checkpoint, way_to_weights(network, path))


def _check_weights(key: str, file: str, way_out: str = '') -> None:
    if '://' in file:
        return
    way_out = way_out or f'Name another with --cfg-options {key}=FILE.'
    if not osp.exists(osp.expanduser(file)):
        raise FileNotFoundError(f'{key}: checkpoint {file!r} does not exist (looked in {os.getcwd()}). {way_out}')
    try:
        resolve(file)
    except FileNotFoundError as error:  # a work directory without any
        raise FileNotFoundError(f'{key}: {error} {way_out}') from None
