"""Numbers of channels, classes and views that are given more than once, as far as a config alone says them."""
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.config import Config

from .parts import LIBRARIES, Part, matches, without_numbers
from .places import LOADERS

# A key and the number there.
Found = Tuple[str, int]


def check_shapes(cfg: Config, parts: List[Part]) -> None:
    """Check that what is given more than once agrees.

    Raises:
        ValueError: For the first two keys that contradict each other; the message names both.
    """
    path = 'model.student' if 'student' in (cfg.get('model') or {}) else 'model'
    found = {part.path: part for part in parts}
    if path not in found:
        return
    for key, shape in (('model.input_shape', cfg.model.get('input_shape')), ('image_shape', cfg.get('image_shape')),
                       ('views_shape', cfg.get('views_shape'))):
        _check_shape(key, shape)
    own = [f'{path}.data_preprocessor', 'model.data_preprocessor', 'data_preprocessor']
    preprocessor = next((key for key in own if key in found), None)
    _agree('channels', [*_channels_of(found, path, preprocessor), *_channels_given(cfg)])
    _check_mixing(found, path, preprocessor)
    if 'task' not in cfg.model:
        _agree('classes', [*_classes_of(found, path, preprocessor), *_classes_of_data(found)])
    if cfg.model.get('teacher') is not None:
        _check_views(parts)


def _agree(what: str, numbers: List[Found]) -> None:
    if len({number for _, number in numbers}) > 1:
        listed = ', '.join(f'{key}={number}' for key, number in numbers)
        raise ValueError(f'numbers of {what} differ: {listed}. Make them equal.')


def _argument(part: Optional[Part], name: str) -> Any:
    """The value of an argument, or its default; ``None`` where there is neither."""
    if part is None:
        return None
    return part.node.get(name, getattr(part.arguments.named.get(name), 'default', None))


def _channels_of(found: dict, path: str, preprocessor: Optional[str]) -> Iterator[Found]:
    channels = _argument(found.get(f'{path}.backbone'), 'in_channels')
    if isinstance(channels, int):
        yield f'{path}.backbone.in_channels', channels
    for name in ('mean', 'std'):
        value = _argument(found.get(preprocessor), name)
        # One number is for all channels.
        if isinstance(value, (list, tuple)) and len(value) > 1:
            yield f'{preprocessor}.{name}', len(value)


def _channels_given(cfg: Config) -> Iterator[Found]:
    """Channels of the student's inputs, (C, H, W) or (T, P, H, W)."""
    shapes = dict(input_shape=cfg.model.get('input_shape'), views_shape=cfg.get('views_shape'))
    if shapes['views_shape'] is None:  # otherwise it is of images before a simulated camera
        shapes['image_shape'] = cfg.get('image_shape')
    for key, shape in shapes.items():
        key = f'model.{key}' if key in cfg.model else key
        if isinstance(shape, dict):
            key, shape = f'{key}.student', shape.get('student')
        if shape is not None:
            yield key, shape[-3]


def _classes_of(found: dict, path: str, preprocessor: Optional[str]) -> Iterator[Found]:
    for key in (f'{path}.head', path, preprocessor):
        number = _argument(found.get(key), 'num_classes')
        if isinstance(number, int):
            yield f'{key}.num_classes', number


def _classes_of_data(found: dict) -> Iterator[Found]:
    for part in found.values():
        if not part.path.startswith(tuple(f'{loader}.dataset' for loader in LOADERS)) or 'pipeline' in part.path:
            continue
        given = part.node.get('classes') or (part.node.get('metainfo') or {}).get('classes')
        classes = given or (getattr(part.found, 'METAINFO', None) or {}).get('classes')
        if classes and not isinstance(classes, str):
            yield f'classes of {part.path} ({part.name})', len(classes)


def _check_mixing(found: dict, path: str, preprocessor: Optional[str]) -> None:
    """Batch augmentations make soft labels, whose length the data preprocessor has to know."""
    own, augments = found.get(preprocessor), f'{path}.train_cfg' if f'{path}.train_cfg' in found else None
    if own is not None and own.node.get('batch_augments'):
        augments = f'{preprocessor}.batch_augments'
    if augments and _argument(own, 'num_classes') is None:
        raise ValueError(f'{augments} mixes samples, for which {preprocessor or "data_preprocessor"}.num_classes has '
                         'to be set.')


def _check_shape(key: str, shape: Any) -> None:
    if shape is None:
        return
    if isinstance(shape, dict) and set(shape) != {'student', 'teacher'}:
        raise ValueError(f'{key}={dict(shape)} must be one shape, or one for student and teacher each.')
    for name, value in shape.items() if isinstance(shape, dict) else [('', shape)]:
        if not isinstance(value, (list, tuple)) or len(value) not in (3, 4) or not all(
                isinstance(number, int) for number in value):
            raise ValueError(f'{key}{name and "."}{name}={value!r} must be (C, H, W) of an image, or (T, P, H, W) of '
                             'event frames.')


def _check_views(parts: List[Part]) -> None:
    """A teacher of two views needs them in training as in validation."""
    two = {}
    for loader in LOADERS[:2]:
        steps = [part for part in parts if matches(without_numbers(part.path), f'{loader}.dataset**.pipeline')]
        if not all(step.found.__module__.startswith(LIBRARIES) for step in steps):
            return  # a transform of one's own may give two views, too
        if steps:
            two[loader] = any(step.name == 'TwoViews' for step in steps)
    if len(set(two.values())) > 1:
        with_two, with_one = sorted(two, key=two.get, reverse=True)
        raise ValueError(f'{with_two}.dataset.pipeline gives two views, one for the student and one for the teacher, '
                         f'but {with_one}.dataset.pipeline gives one, which both would see. Put TwoViews into both.')
