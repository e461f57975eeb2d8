"""What a user gives to an inferencer: files, folders, arrays, pictures and lists of these, read one at a time."""
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

import mmcv
import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageOps

from ..datasets import event_files
from ..datasets.events import check_events, sort_events
from ..datasets.image_files import decode_file
from ..datasets.transforms import events_to_frames
from ..utils.listing import IMAGE_EXTENSIONS, list_files
from ..visualization.browse import event_image


class Item(NamedTuple):
    """One input.

    Attributes:
        name: For results and errors: the path, or ``'input 3'`` of a list.
        source: Path, array or picture.
    """

    name: str
    source: Any


def list_items(inputs: Any, extensions: Sequence[str]) -> List[Item]:
    """One item for each input; a folder stands for the files in it, subfolders included, in the order of their names.

    Others are counted in the log, see :mod:`bkdsnn.utils.listing`.

    Args:
        inputs: One input, or a list of them.
        extensions: Of the files to take from a folder, in lower case.

    Raises:
        ValueError: If a folder has no such file, a path is empty, or there is no input.
        TypeError: If it is an iterator.
    """
    if hasattr(inputs, '__next__'):
        raise TypeError(f'a {type(inputs).__name__} has no length; give a list, or events as they come in to stream().')
    items: List[Item] = []
    for i, source in enumerate(inputs if isinstance(inputs, (list, tuple)) else [inputs]):
        if isinstance(source, str) and not source:
            raise ValueError(f"the path of input {i} is empty; the current folder is '.'.")
        if not isinstance(source, (str, Path)):
            items.append(Item(f'input {i}', source))
        elif Path(source).is_dir():
            items += [Item(str(path), path) for path in _files_in(Path(source), extensions)]
        else:
            items.append(Item(str(Path(source)), Path(source)))
    if not items:
        raise ValueError('there is nothing to predict: the list of inputs is empty.')
    return items


def _files_in(folder: Path, extensions: Sequence[str]) -> List[Path]:
    listing = list_files(folder, extensions)
    if not listing.files:
        raise ValueError(f'the folder {folder} holds nothing to read ({", ".join(extensions)})'
                         f'{listing.summary and f": {listing.summary}"}.')
    if listing.summary:
        print_log(f'{folder}: {listing.summary}.', logger='current', level=logging.WARNING)
    return [folder / path for path in listing.files]


@dataclass
class ImageReader:
    """Reads images as mmcv does, with the channels of a model and in its size.

    Args:
        channels: Of the model: 1 is read as gray, 3 as BGR.
        is_rgb: Whether its pipeline takes RGB, as its training data were.
        size: (H, W) that others are resized to, with area interpolation where there are fewer pixels then, else
            bilinear; ``None`` leaves the size to the pipeline.
        say: What to do with a line for the user.
    """

    channels: int
    is_rgb: bool
    size: Optional[Tuple[int, int]]
    say: Callable[[str], None]
    extensions = IMAGE_EXTENSIONS

    def read(self, source: Union[Path, np.ndarray, Image.Image]) -> dict:
        """What a pipeline starts with.

        Args:
            source: File, array (H, W), (H, W, 1) or BGR (H, W, 3) of uint8, or PIL image.

        Raises:
            OSError: If a file cannot be read, or not to its end.
            ValueError: If it is no image, or has other channels than the model takes.
            TypeError: If it is something else.
        """
        image = original = self._with_channels(self._decode(source))
        if self.size is not None and image.shape[:2] != self.size:
            self.say(f'images of other sizes, such as {image.shape[0]}x{image.shape[1]}, are resized to '
                     f'{self.size[0]}x{self.size[1]} (height x width), the size that the network was trained on.')
            shrinks = self.size[0] * self.size[1] < image.shape[0] * image.shape[1]
            image = mmcv.imresize(image, self.size[::-1], interpolation='area' if shrinks else 'bilinear')
            image = image.reshape(*self.size, self.channels)
        if self.is_rgb and self.channels == 3:
            image = np.ascontiguousarray(image[..., ::-1])
        return dict(img=image, img_shape=image.shape[:2], ori_shape=original.shape[:2], original=original)

    @staticmethod
    def picture(results: dict) -> np.ndarray:
        """The image as it was given, RGB (H, W, 3)."""
        image = results['original']
        return np.ascontiguousarray(image[..., ::-1] if image.shape[-1] == 3 else image.repeat(3, -1))

    def _decode(self, source: Union[Path, np.ndarray, Image.Image]) -> np.ndarray:
        if isinstance(source, Path):
            return decode_file(source, gray=self.channels == 1)
        if isinstance(source, Image.Image):
            if source.mode[0] in 'IF':
                raise ValueError(f'a PIL image of mode {source.mode!r} has more than 8 bits; convert it to 8 bits.')
            source = ImageOps.exif_transpose(source)  # as files are read
            return np.asarray(source.convert('L')) if self.channels == 1 else np.asarray(
                source.convert('RGB'))[..., ::-1]
        if isinstance(source, np.ndarray):
            return source
        raise TypeError(f'a {type(source).__name__} is neither a path, nor an array, nor a PIL image.')

    def _with_channels(self, image: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
            raise ValueError(f'an array {image.shape} of {image.dtype} is no image, which has the shape (H, W), '
                             '(H, W, 1) or (H, W, 3), BGR, and uint8 values from 0 to 255.')
        image = image[..., None] if image.ndim == 2 else image
        given = image.shape[-1]
        if (given, self.channels) == (3, 1):
            return mmcv.bgr2gray(np.ascontiguousarray(image), keepdim=True)
        if (given, self.channels) == (1, 3):
            return mmcv.gray2bgr(np.ascontiguousarray(image))
        if given != self.channels:
            raise ValueError(f'an image {image.shape} has {given} channels (they come last), but the model takes '
                             f'{self.channels}.')
        return image


@dataclass
class EventReader:
    """Reads recordings of an event camera.

    Args:
        sensor_size: Width, height and number of polarities.
    """

    sensor_size: Tuple[int, int, int]
    extensions = event_files.EXTENSIONS

    def read(self, source: Union[Path, np.ndarray], may_be_empty: bool = False) -> dict:
        """What a pipeline starts with: ``events`` in the order of time, and ``sensor_size``.

        Args:
            source: File, or structured array with the integer fields ``x``, ``y``, ``t`` (microseconds) and ``p``.
            may_be_empty: Whether there may be no events, as in a window of a stream.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If it is no recording, has no events, or an event is not possible on the sensor.
            TypeError: If it is something else.
        """
        if not isinstance(source, (Path, np.ndarray)):
            raise TypeError(f'a {type(source).__name__} is neither a path nor an array of events.')
        events = event_files.read_events(source) if isinstance(source, Path) else source
        check_events(events, self.sensor_size)
        if not len(events) and not may_be_empty:
            raise ValueError('the recording has no events, so there is nothing to predict from.')
        return dict(events=sort_events(events), sensor_size=self.sensor_size)

    @staticmethod
    def picture(results: dict) -> np.ndarray:
        """All events of each pixel, RGB (H, W, 3)."""
        return event_image(events_to_frames(results['events'], results['sensor_size'], 1)[0])


Reader = Union[ImageReader, EventReader]
