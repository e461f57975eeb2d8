"""Pictures of a data set's samples, and of what each transform does to them."""
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from mmengine.dataset import BaseDataset
from PIL import Image
from torch import Tensor

from bkdsnn.config.data import inner_sample
from bkdsnn.datasets.event_dataset import EventDataset
from bkdsnn.datasets.transforms import events_to_frames
from bkdsnn.utils.colours import channel_order_of

# Of Okabe and Ito, which colour-blind readers can tell apart. No event is white.
ON, OFF = (213, 94, 0), (0, 114, 178)
# More would make the drawing slow and no clearer.
POINTS = 6000
FORMATS = ('gif', 'mp4')


class Step(NamedTuple):
    """A sample after one transform.

    Attributes:
        title: The transform with its arguments.
        events: Structured array, with ``sensor_size``, as long as the sample consists of events.
        frames: By view, event frames (T, P, H, W).
        image: (H, W), or (H, W, 3) in RGB.
    """

    title: str
    events: Optional[np.ndarray] = None
    sensor_size: Optional[Tuple[int, int, int]] = None
    frames: Dict[str, np.ndarray] = {}
    image: Optional[np.ndarray] = None

    @property
    def has_something_to_see(self) -> bool:
        """Whether there is any of the three."""
        return self.events is not None or self.image is not None or bool(self.frames)


def sample_steps(dataset: BaseDataset, idx: int) -> List[Step]:
    """One sample as it is read, and after each transform that changes what is seen.

    Args:
        dataset: Of images or events, or a wrapper of such. A cache is not used.
        idx: Index of the sample.
    """
    dataset, idx = inner_sample(dataset, idx)
    results, is_rgb = dict(dataset.get_data_info(idx)), channel_order_of(dataset) == 'rgb'
    steps = []
    if isinstance(dataset, EventDataset):
        results['events'] = dataset.load_events(results)
        steps.append(step_of('recording', results))
    elif 'img' in results:
        steps.append(step_of('image', results, is_rgb))
    for transform in dataset.pipeline.transforms:
        results = transform(results)
        if results is None:
            raise ValueError(f'{type(transform).__name__} drops sample {idx} of {type(dataset).__name__}.')
        step = step_of(repr(transform), results, is_rgb)
        if step.has_something_to_see and not (steps and _look_alike(steps[-1], step)):
            steps.append(step)
    return steps


def step_of(title: str, results: dict, is_rgb: bool = False) -> Step:
    """What is to be seen of a sample on its way through the pipeline; colour images are BGR unless ``is_rgb``."""
    title = ' '.join(title.split())
    if 'inputs' in results:
        inputs = results['inputs']
        if isinstance(inputs, Tensor) and inputs.dim() == 3 and len(inputs) in (1, 3):
            return Step(title, image=_as_picture(inputs.numpy().transpose(1, 2, 0), is_rgb))
        views = inputs if isinstance(inputs, dict) else dict(frames=inputs)
        if any(x.dim() != 4 for x in views.values()):
            return Step(title)  # an image network gets the frames of the step before, as channels
        return Step(title, frames={view: x.numpy() for view, x in views.items()})
    if 'frames' in results:
        frames = results['frames']
        return Step(title, frames=dict(frames) if isinstance(frames, dict) else dict(frames=frames))
    if 'events' in results:
        return Step(title, results['events'], results['sensor_size'])
    return Step(title, image=_as_picture(results['img'], is_rgb) if 'img' in results else None)


def _as_picture(image: np.ndarray, is_rgb: bool) -> np.ndarray:
    """What matplotlib draws, RGB or gray, of an image as a data set gives it."""
    image = np.clip(image, 0, 255).astype(np.uint8)
    if image.ndim == 2 or image.shape[-1] != 3:
        return image.reshape(image.shape[:2])
    return image if is_rgb else image[..., ::-1]


def _look_alike(a: Step, b: Step) -> bool:
    def parts(step: Step) -> list:
        return [step.events, step.image, *(f for _, f in sorted(step.frames.items()))]

    return len(parts(a)) == len(parts(b)) and all(np.array_equal(x, y) for x, y in zip(parts(a), parts(b)))


# ---- drawing ----


def event_image(frame: np.ndarray) -> np.ndarray:
    """Counts (P, H, W) as a picture (H, W, 3): orange where the light rose, blue where it fell, darker for more."""
    frame = np.abs(frame.astype(float))
    off, on = frame if len(frame) == 2 else (np.zeros_like(frame[0]), frame[0])
    strength = (on + off) / max(np.quantile((on + off)[on + off > 0], 0.95), 1e-9) if (on + off).any() else on + off
    share = np.divide(on, on + off, out=np.zeros_like(on), where=on + off > 0)[..., None]
    colour = share * np.array(ON) + (1 - share) * np.array(OFF)
    strength = np.clip(strength, 0, 1)[..., None] ** 0.7
    return (255 * (1 - strength) + colour * strength).astype(np.uint8)


def draw_steps(steps: Sequence[Step], title: str) -> Figure:
    """A row for each transform: the recording as picture and point cloud, frames of each view, or the image."""
    rows = [(step, view) for step in steps for view in (step.frames or [None])]
    figure = Figure(figsize=(11, 0.4 + sum(map(_row_height, (step for step, _ in rows)))), layout='constrained')
    figure.suptitle(title, fontsize=11)
    parts = np.atleast_1d(figure.subfigures(len(rows), 1, height_ratios=[_row_height(step) for step, _ in rows]))
    for part, (step, view) in zip(parts, rows):
        label = step.title if len(step.title) < 130 else step.title[:127] + '...'
        part.suptitle(f'{label}  [{view}]' if view and len(step.frames) > 1 else label, fontsize=8, family='monospace',
                      x=0.01, ha='left')
        if view:
            _draw_frames(part, step.frames[view])
        elif step.events is not None:
            _draw_events(part, step.events, step.sensor_size)
        else:
            axes = part.subplots(1, 1)
            axes.imshow(step.image, cmap='gray')
            axes.set_axis_off()
    return figure


def _row_height(step: Step) -> float:
    return 3.0 if step.events is not None else 1.6 if step.frames else 2.2


def _draw_frames(figure, frames: np.ndarray) -> None:
    for frame, axes in zip(frames, np.atleast_1d(figure.subplots(1, len(frames)))):
        axes.imshow(event_image(frame))
        axes.set_xticks([])
        axes.set_yticks([])


def _draw_events(figure, events: np.ndarray, sensor_size: Sequence[int]) -> None:
    flat, cloud = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection='3d')
    flat.imshow(event_image(events_to_frames(events, sensor_size, 1)[0]))
    flat.set_title(f'{len(events):,} events', fontsize=8)
    flat.set_xticks([])
    flat.set_yticks([])
    chosen = events[np.linspace(0, len(events) - 1, min(POINTS, len(events))).astype(int)] if len(events) else events
    t = (chosen['t'].astype(np.int64) - (int(events['t'][0]) if len(events) else 0)) / 1000
    cloud.scatter(t, chosen['x'], chosen['y'], s=1, linewidths=0,
                  c=np.where(chosen['p'].astype(bool)[:, None], ON, OFF) / 255)
    cloud.set_xlabel('t (ms)', fontsize=7)
    cloud.set_ylabel('x', fontsize=7)
    cloud.set_zlabel('y', fontsize=7)
    cloud.set_ylim(0, sensor_size[0])
    cloud.set_zlim(sensor_size[1], 0)
    cloud.tick_params(labelsize=6)
    cloud.view_init(elev=18, azim=-70)
    cloud.set_box_aspect((1.8, 1, sensor_size[1] / sensor_size[0]))


# ---- moving pictures ----


def animation(step: Step, time_steps: int = 30, height: int = 256) -> np.ndarray:
    """Pictures (N, H, W, 3) of a sample: its views side by side, or its events in windows of equal duration."""
    views = step.frames or dict(events=events_to_frames(step.events, step.sensor_size, time_steps, by='time'))
    length = max(map(len, views.values()))
    columns = []
    for frames in views.values():
        scale = max(1, round(height / frames.shape[-2]))
        pictures = [event_image(frame).repeat(scale, 0).repeat(scale, 1) for frame in frames]
        columns.append(np.stack([pictures[i * len(pictures) // length] for i in range(length)]))
    lowest = min(column.shape[1] for column in columns)
    return np.concatenate([column[:, :lowest] for column in columns], 2)


def save_animation(pictures: np.ndarray, path: Path, seconds: float = 2.0) -> None:
    """Write pictures (N, H, W, 3) as ``.gif`` or ``.mp4``.

    Raises:
        OSError: If the video cannot be written.
    """
    if path.suffix == '.gif':
        first, *others = map(Image.fromarray, pictures)
        first.save(path, save_all=True, append_images=others, duration=int(1000 * seconds / len(pictures)), loop=0)
        return
    height, width = pictures.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), len(pictures) / seconds, (width, height))
    if not writer.isOpened():
        raise OSError(f'{path} cannot be written as a video; take --format gif.')
    for picture in pictures:
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
    writer.release()


def save_sample(dataset: BaseDataset, idx: int, folder: Path, movie: str = 'gif') -> List[Path]:
    """Draw one sample into ``folder``: a picture of all steps, and for events two animations.

    Args:
        dataset: Of images or events.
        idx: Index of the sample.
        folder: Where to.
        movie: ``'gif'`` or ``'mp4'``.

    Returns:
        The files written.
    """
    steps = sample_steps(dataset, idx)  # the whole data set's index names the file
    info = dataset.get_data_info(idx)
    label = _label(dataset, info)
    stem = f'{idx:05d}_{label}'.replace('/', '_').replace(' ', '_')
    name = info.get('path') or info.get('img_path') or f'sample {idx}'
    files = [folder / f'{stem}.png']
    draw_steps(steps, f'{name}, class {label}').savefig(files[0], dpi=110)
    for kind, step in (('events', steps[0]), ('frames', steps[-1])):
        if step.events is not None or step.frames:
            files.append(folder / f'{stem}_{kind}.{movie}')
            save_animation(animation(step), files[-1])
    return files


def _label(dataset: BaseDataset, info: Dict[str, Any]) -> str:
    label, classes = info.get('gt_label'), dataset.metainfo.get('classes')
    return 'none' if label is None else str(classes[label] if classes else label)
