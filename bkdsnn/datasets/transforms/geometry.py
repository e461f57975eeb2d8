"""Transforms of events in space: crop, resize, flip, roll, rotate and scale."""
from dataclasses import dataclass
from typing import Sequence, Tuple, Union

import numpy as np

from bkdsnn.registry import TRANSFORMS

from .base import EventTransform, check_range

Size = Union[int, Sequence[int]]
DIRECTIONS = ('horizontal', 'vertical')


def crop_events(events: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    """The events inside a box, whose upper left corner becomes (0, 0).

    Args:
        events: Structured array (N,).
        left: Of the box, in pixels; negative where the box is larger than the sensor.
        top: Of the box.
        width: Of the box.
        height: Of the box.
    """
    return place_events(events, events['x'].astype(np.int64) - left, events['y'].astype(np.int64) - top, width, height)


def place_events(events: np.ndarray, x: np.ndarray, y: np.ndarray, width: int, height: int) -> np.ndarray:
    """Events at new places; those outside a sensor of ``width`` x ``height`` are dropped.

    Raises:
        ValueError: If the fields of the events cannot hold all places of that sensor.
    """
    for field, size in (('x', width), ('y', height)):
        if size - 1 > np.iinfo(events.dtype[field]).max:
            raise ValueError(f'a sensor of {width}x{height} pixels does not fit the field {field} of the events, which '
                             f'is {events.dtype[field]}. Take a smaller size, or a reader with wider fields.')
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    moved = events[inside]
    moved['x'], moved['y'] = x[inside], y[inside]
    return moved


def flip_events(events: np.ndarray, sensor_size: Sequence[int], direction: str = 'horizontal') -> np.ndarray:
    """Events mirrored left to right (``'horizontal'``) or upside down."""
    field, size = ('x', sensor_size[0]) if direction == 'horizontal' else ('y', sensor_size[1])
    flipped = events.copy()
    flipped[field] = size - 1 - events[field].astype(np.int64)
    return flipped


def roll_events(events: np.ndarray, sensor_size: Sequence[int], dx: int, dy: int) -> np.ndarray:
    """Events shifted by (dx, dy); what leaves at one side enters at the other, so no event is lost."""
    rolled = events.copy()
    for field, size, shift in (('x', sensor_size[0], dx), ('y', sensor_size[1], dy)):
        rolled[field] = (events[field].astype(np.int64) + shift) % size
    return rolled


def map_events(events: np.ndarray, sensor_size: Sequence[int], matrix: np.ndarray) -> np.ndarray:
    """Events moved linearly about the sensor's centre to the nearest pixel; those that leave are dropped.

    Args:
        events: Structured array (N,).
        sensor_size: Width and height come first.
        matrix: (2, 2), applied to (x, y).
    """
    width, height = sensor_size[:2]
    centre = np.array([[(width - 1) / 2], [(height - 1) / 2]])
    x, y = matrix @ (np.stack([events['x'], events['y']]).astype(float) - centre) + centre
    return place_events(events, np.round(x).astype(np.int64), np.round(y).astype(np.int64), width, height)


def resize_events(events: np.ndarray, sensor_size: Sequence[int], width: int, height: int) -> np.ndarray:
    """Events of a sensor as another one of ``width`` x ``height`` would have had them. Every event is kept."""
    x, y = (events[field].astype(np.int64) * new // old
            for field, old, new in (('x', sensor_size[0], width), ('y', sensor_size[1], height)))
    return place_events(events, x, y, width, height)


def rotation(degrees: float) -> np.ndarray:
    """Matrix (2, 2) that turns (x, y) clockwise on the screen, where y points down."""
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def height_and_width(owner: object, size: Size) -> Tuple[int, int]:
    """Both from one number or two.

    Raises:
        ValueError: If they are not positive whole numbers.
    """
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or not all(isinstance(s, int) and s > 0 for s in both):
        raise ValueError(f'{type(owner).__name__}: size={size!r} must be a number of pixels or (height, width).')
    return both


def check_direction(owner: object) -> None:
    """Raise ValueError if ``owner.direction`` is unknown."""
    if owner.direction not in DIRECTIONS:
        raise ValueError(f'{type(owner).__name__}: direction={owner.direction!r} is unknown; choose from '
                         f'{list(DIRECTIONS)}.')


@dataclass
class RandomFlip(EventTransform):
    """What is drawn to mirror events or frames.

    Args:
        prob: With what probability.
        direction: ``'horizontal'`` (left to right) or ``'vertical'``.
    """

    prob: float = 0.5
    direction: str = 'horizontal'

    def __post_init__(self) -> None:
        check_range(self, 'prob', 0, 1)
        check_direction(self)

    def draw(self) -> bool:
        """Whether to mirror."""
        return bool(np.random.rand() < self.prob)


@dataclass
class RandomRoll(EventTransform):
    """What is drawn to shift events or frames around.

    Args:
        max_shift: Largest shift in pixels.
    """

    max_shift: int = 5

    def __post_init__(self) -> None:
        check_range(self, 'max_shift', 0, whole=True)

    def draw(self) -> Tuple[int, int]:
        """Shift down and to the right."""
        dy, dx = np.random.randint(-self.max_shift, self.max_shift + 1, size=2).tolist()
        return dy, dx


@dataclass
class RandomRotate(EventTransform):
    """What is drawn to turn events or frames.

    Args:
        max_degrees: Largest angle, to either side.
    """

    max_degrees: float

    def __post_init__(self) -> None:
        check_range(self, 'max_degrees', 0, 180)

    def draw(self) -> np.ndarray:
        """Matrix (2, 2) of the rotation."""
        return rotation(np.random.uniform(-self.max_degrees, self.max_degrees))


@TRANSFORMS.register_module()
@dataclass
class CenterEventCrop(EventTransform):
    """Cuts ``events`` to a box in the middle of the sensor, whose size ``sensor_size`` becomes.

    Args:
        size: (height, width), or one number for both. Where it is larger, the sensor gets an empty border.
    """

    size: Size
    random = False

    def __post_init__(self) -> None:
        self.size = height_and_width(self, self.size)

    def transform(self, results: dict) -> dict:
        """Change ``events`` and ``sensor_size``."""
        (height, width), (old_width, old_height, polarities) = self.size, results['sensor_size']
        events = crop_events(results['events'], (old_width - width) // 2, (old_height - height) // 2, width, height)
        return dict(results, events=events, sensor_size=(width, height, polarities))


@TRANSFORMS.register_module()
@dataclass
class RandomEventCrop(EventTransform):
    """Cuts ``events`` to a box somewhere on the sensor, whose size ``sensor_size`` becomes.

    Args:
        size: (height, width), or one number for both; not larger than the sensor.
    """

    size: Size

    def __post_init__(self) -> None:
        self.size = height_and_width(self, self.size)

    def transform(self, results: dict) -> dict:
        """Change ``events`` and ``sensor_size``."""
        (height, width), (old_width, old_height, polarities) = self.size, results['sensor_size']
        if width > old_width or height > old_height:
            raise ValueError(f'RandomEventCrop: size={self.size} is larger than the sensor, {old_height}x{old_width}.')
        left, top = np.random.randint(old_width - width + 1), np.random.randint(old_height - height + 1)
        events = crop_events(results['events'], left, top, width, height)
        return dict(results, events=events, sensor_size=(width, height, polarities))


@TRANSFORMS.register_module()
@dataclass
class ResizeEvents(EventTransform):
    """Maps ``events`` to a sensor of another size. Counts add up; every event is kept.

    Args:
        size: (height, width), or one number for both.
    """

    size: Size
    random = False

    def __post_init__(self) -> None:
        self.size = height_and_width(self, self.size)

    def transform(self, results: dict) -> dict:
        """Change ``events`` and ``sensor_size``."""
        height, width = self.size
        events = resize_events(results['events'], results['sensor_size'], width, height)
        return dict(results, events=events, sensor_size=(width, height, results['sensor_size'][2]))


@TRANSFORMS.register_module()
@dataclass
class RandomEventFlip(RandomFlip):
    """Mirrors ``events`` and sets ``flip``. Not left to right for DVSGesture, where left and right are classes."""

    def transform(self, results: dict) -> dict:
        """Change ``events`` and set ``flip``."""
        flip, events = self.draw(), results['events']
        if flip:
            events = flip_events(events, results['sensor_size'], self.direction)
        return dict(results, events=events, flip=flip)


@TRANSFORMS.register_module()
@dataclass
class RandomEventRoll(RandomRoll):
    """Shifts ``events`` in both directions; what leaves at one side enters at the other, so no event is lost."""

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        dy, dx = self.draw()
        return dict(results, events=roll_events(results['events'], results['sensor_size'], dx, dy))


@TRANSFORMS.register_module()
@dataclass
class RandomEventRotate(RandomRotate):
    """Turns ``events`` about the sensor's centre; those that leave are dropped."""

    max_degrees: float = 15.0

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        return dict(results, events=map_events(results['events'], results['sensor_size'], self.draw()))


@TRANSFORMS.register_module()
@dataclass
class RandomEventScale(EventTransform):
    """Enlarges or shrinks ``events`` about the sensor's centre; those that leave are dropped.

    Args:
        low: Smallest factor.
        high: Largest factor.
    """

    low: float = 0.8
    high: float = 1.2

    def __post_init__(self) -> None:
        check_range(self, 'low', 1e-3)
        check_range(self, 'high', self.low)

    def transform(self, results: dict) -> dict:
        """Change ``events``."""
        matrix = np.random.uniform(self.low, self.high) * np.eye(2)
        return dict(results, events=map_events(results['events'], results['sensor_size'], matrix))
