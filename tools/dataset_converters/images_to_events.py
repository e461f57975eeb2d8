"""Recordings of images: ``python tools/dataset_converters/images_to_events.py SRC DST``.

Every image below SRC is moved along three saccades before a simulated event camera. DST gets the same tree of .npy
files, which the data set EventFolder reads if there are class folders in split folders, and camera.json with all
parameters. Started again, it makes what is missing. A recording follows from the parameters, the seed and the image's
path below SRC.
"""
import argparse
import inspect
import json
import sys
import zlib
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import cv2
import numpy as np
from mmengine.utils import track_iter_progress, track_parallel_progress
from PIL import Image, ImageOps

from bkdsnn.apis.cli import fail_clearly
from bkdsnn.datasets.event_camera import EventCamera, record_saccades, saccades
from bkdsnn.datasets.event_files import write_events
from bkdsnn.datasets.image_files import check_image
from bkdsnn.utils.atomic import write_atomically
from bkdsnn.utils.listing import IMAGE_EXTENSIONS, list_files

CAMERA = {field.name: field.default for field in fields(EventCamera) if field.name not in ('width', 'height')}
# Images are brought to their size here, so they are not enlarged once more.
MOTION = {name: parameter.default for name, parameter in inspect.signature(saccades).parameters.items()
          if name not in ('images', 'sensor_size', 'zoom')}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', type=Path, help='folder of images, such as SRC/train/<class>/<name>.png')
    parser.add_argument('dst', type=Path, help='folder for the recordings, such as DST/train/<class>/<name>.npy')
    parser.add_argument('--size', type=int, nargs=2, default=(34, 34), metavar=('WIDTH', 'HEIGHT'),
                        help='of the sensor in pixels; default: 34 34, as N-MNIST')
    for owner, options in ((EventCamera, CAMERA), (saccades, MOTION)):
        for name, default in options.items():
            parser.add_argument(f'--{name.replace("_", "-")}', type=type(default), default=default,
                                help=f'of bkdsnn.datasets.event_camera.{owner.__name__}; default: {default}')
    parser.add_argument('--workers', type=int, default=1, help='number of processes; default: 1')
    return parser.parse_args()


def find_images(src: Path, dst: Path) -> Dict[Path, Path]:
    """Images below a folder by the recordings they become, in the order of their paths.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If two would become the same recording.
    """
    if not src.is_dir():
        raise FileNotFoundError(f'there is no folder {src}.')
    listing, found = list_files(src, IMAGE_EXTENSIONS), {}
    for below in listing.files:
        recording, image = (dst / below).with_suffix('.npy'), src / below
        if recording in found:
            raise ValueError(f'{found[recording]} and {image} would both become {recording}; rename one.')
        found[recording] = image
    if not found:
        raise FileNotFoundError(f'there are no images ({", ".join(IMAGE_EXTENSIONS)}) in {src}.')
    if listing.summary:
        print(f'{src}: {listing.summary}.')
    return found


def keep_parameters(dst: Path, parameters: dict, recordings: List[Path]) -> None:
    """Write camera.json, or check that what is there was made in the same way.

    Raises:
        ValueError: If it was not, or if recordings are there without the file.
    """
    path = dst / 'camera.json'
    way_out = 'Give another DST, or empty this one.'
    if path.is_file():
        there = json.loads(path.read_text())
        differ = [f'{name}={there.get(name)} there and {value} now' for name, value in parameters.items()
                  if there.get(name) != value]
        if differ:
            raise ValueError(f'{path} says that the recordings in {dst} were made in another way: {"; ".join(differ)}. '
                             f'{way_out} Or use the same parameters, to make what is missing.')
        return
    if any(recording.exists() for recording in recordings):
        raise ValueError(f'{dst} holds recordings but no camera.json that says how they were made. {way_out}')
    dst.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(f'{json.dumps(parameters, indent=2)}\n'.encode()))


def read_image(path: Path) -> np.ndarray:
    """Brightness of an image in gray, upright, (h, w) in [0, 1].

    Raises:
        OSError: If it is damaged or cannot be read, or has 16 bits of which it uses the lower ones alone.
    """
    check_image(path.read_bytes(), path)
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            deep = image.mode.startswith('I')  # 16 bits, of which convert() would clip all but the lowest 8
            return np.clip(np.asarray(image if deep else image.convert('L')) / (65535 if deep else 255), 0, 1)
    except Exception as error:  # damage in a PNG is a SyntaxError
        raise OSError(f'{path}: {error}') from error


def fit(image: np.ndarray, width: float, height: float) -> np.ndarray:
    """An image as large as it can be within a field, with its aspect kept."""
    zoom = min(width / image.shape[1], height / image.shape[0])
    size = [max(1, int(length * zoom + 1e-6)) for length in image.shape[::-1]]
    # Averages where pixels are merged; the float result may leave the range by rounding.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR).clip(0, 1)


def convert(task: Tuple[Path, Path], src: Path, camera: EventCamera, motion: dict) -> Optional[str]:
    """Make the recording of an image; returns what is wrong with the image, if it cannot be read."""
    recording, path = task
    try:
        image = read_image(path)
    except OSError as error:
        return str(error)
    image = fit(image, camera.width - motion['amplitude'], camera.height - motion['amplitude'])
    rng = np.random.default_rng([camera.seed, zlib.crc32(path.relative_to(src).as_posix().encode())])
    events, = record_saccades(image[None], camera, [rng], zoom=1, **motion)
    recording.parent.mkdir(parents=True, exist_ok=True)
    write_events(recording, events)
    return None


def main() -> None:
    args = parse_args()
    cv2.setNumThreads(1)  # images are small, and there may be many workers
    camera = EventCamera(*args.size, **{name: getattr(args, name) for name in CAMERA})
    motion = {name: getattr(args, name) for name in MOTION}
    saccades(np.zeros((1, 1, 1)), args.size, zoom=1, **motion)  # bad arguments end here, before anything is written
    if args.workers < 1:
        raise ValueError(f'--workers={args.workers} must be at least 1.')
    images = find_images(args.src, args.dst)
    keep_parameters(args.dst, dict(sensor_size=[*args.size, 2], camera=asdict(camera), motion=motion), list(images))
    todo = [(recording, image) for recording, image in images.items() if not recording.exists()]
    make = partial(convert, src=args.src, camera=camera, motion=motion)
    if not todo:
        results = []
    elif args.workers == 1:
        results = [make(task) for task in track_iter_progress(todo)]
    else:
        results = track_parallel_progress(make, todo, args.workers, chunksize=8)
    problems = [problem for problem in results if problem]
    print(f'{args.dst}: {len(images) - len(problems)} recordings, of which {len(images) - len(todo)} were there.')
    if problems:
        sys.exit('\n  '.join([f'{len(problems)} of {len(images)} images cannot be read, so they have no recording:',
                              *problems]))


if __name__ == '__main__':
    with fail_clearly():
        main()
