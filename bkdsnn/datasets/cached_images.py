"""Data sets of image files that keep decoded images, and find damaged ones."""
from typing import Dict, Optional, Sequence

import cv2
import numpy as np
import PIL
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from .cached_pipeline import JSON, CachedPipeline, changed, from_text, to_text
from .image_files import check_image


class CachedImages(CachedPipeline):
    """What a data set of image files inherits, before one of mmpretrain, to get a ``cache_dir`` and ``on_error``.

    Each file is checked before ``LoadImageFromFile`` decodes it, as that would make up what is cut off.

    Args:
        cache_dir: Folder for decoded images, relative to ``data_root``. The result of the pipeline up to its first
            random transform is then made once per image. ``None`` makes it anew every time.
        on_error: What to do with a file that cannot be read: ``'raise'``, or ``'skip'`` it, take another image that is
            drawn at random, and count it in the log. For training alone.
        **kwargs: As the data set of mmpretrain.

    Raises:
        ValueError: If there is nothing to keep, the disk has too little room, or ``on_error`` is unknown.
    """

    kind = 'images'

    def __init__(self, cache_dir: Optional[str] = None, on_error: str = 'raise', **kwargs) -> None:
        self.set_on_error(on_error)
        super().__init__(**kwargs)
        self.open_cache(cache_dir)
        if self.cache is not None and self._fully_initialized:
            self.check_room()

    def check_cached(self, steps: Sequence) -> None:
        """The first transform must read the image."""
        if not steps:
            names = [type(step).__name__ for step in self.pipeline.transforms]
            raise ValueError(f'{type(self).__name__}: with a cache_dir, the pipeline must start with transforms that '
                             f'are known not to be random, such as mmpretrain.LoadImageFromFile, but it is {names}. '
                             'One of your own says so by random = False. Or set cache_dir=None.')

    def setting(self) -> str:
        """The versions of what decodes and resizes."""
        return f'OpenCV {cv2.__version__}, Pillow {PIL.__version__}'

    def file_of(self, data_info: dict) -> str:
        """The image's file."""
        return data_info['img_path']

    def read(self, data_info: dict) -> Optional[dict]:
        """What is known of an image, whose file is in order; ``None`` if it is not and the pipeline ignores that.

        Raises:
            OSError: If it is not; the message names it.
        """
        load = next(iter(self.pipeline.transforms), None)
        if not isinstance(load, LoadImageFromFile) or load.imdecode_backend == 'tifffile':
            return data_info
        path = self.file_of(data_info)
        try:
            check_image(self._content(path, load), path, to_8_bits=load.color_type != 'unchanged')
        except OSError:
            if load.ignore_empty:
                return None
            raise
        return data_info

    @staticmethod
    def _content(path: str, load: LoadImageFromFile) -> bytes:
        try:
            return fileio.get(path, backend_args=load.backend_args)
        except OSError as error:
            raise OSError(f'{path} cannot be read: {error.strerror or error}.') from error

    def kept(self, data_info: dict, results: dict) -> Dict[str, np.ndarray]:
        """The image and whatever else the transforms have changed, such as its shape; what is no array as JSON.

        Raises:
            TypeError: If something of it cannot be kept.
        """
        found = changed(data_info, results)
        arrays = {key: value for key, value in found.items() if isinstance(value, np.ndarray)}
        return {**arrays, JSON: to_text({key: value for key, value in found.items() if key not in arrays})}

    def restored(self, data_info: dict, arrays: Dict[str, np.ndarray]) -> dict:
        """The results after the cached transforms."""
        others = from_text(arrays.pop(JSON))
        return {**data_info, **arrays, **others}
