"""Neurons of students: any that comes along in any pair."""
from pathlib import Path
from typing import Dict, Iterator

from mmengine.config import Config

from .checks.places import LOADERS
from .data import datasets_in
from .fragments import fragments, read_fragment, take_imports

# Transforms whose frames the student sees.
FRAMES = ('EventsToFrames', 'bkdsnn.EventsToFrames')


def neurons() -> Dict[str, Path]:
    """Names of the neurons that come along, with their files: a neuron, and its time steps where it has some."""
    return fragments('neurons')


def apply_neuron(cfg: Config, name: str) -> None:
    """Give the student of a pair another neuron, in the head too where that has one, and its file's time steps.

    Args:
        cfg: Of a pair; its teacher stays as it is.
        name: Name of a neuron that comes along, or path of a config with ``neuron``. ``T=None`` in it becomes the
            number of the student's time steps.

    Raises:
        ValueError: If there is no such neuron, or the file has none.
    """
    fragment = read_fragment('--neurons', name, neurons(), 'neuron')
    student, neuron = cfg.model.student, fragment.neuron
    shape = cfg.model.get('input_shape')
    shape = shape['student'] if isinstance(shape, dict) else shape
    sees_events = shape is not None and len(shape) == 4
    if 'time_steps' in fragment:
        set_time_steps(cfg, fragment.time_steps, sees_events)
    if 'T' in neuron:
        neuron.T = fragment.get('time_steps', shape[0] if sees_events else student.backbone.T)
        if 'T' in student.backbone:  # which has no say where frames are seen, and must not contradict the neuron
            student.backbone.T = neuron.T
    for part in (student.backbone, student.head):
        if part.get('neuron') is not None:
            part.neuron = neuron
    take_imports(cfg, fragment)


def set_time_steps(cfg: Config, time_steps: int, sees_events: bool) -> None:
    """Let the student of a pair run for another number of time steps, on as many frames where it sees events."""
    if 'T' in cfg.model.student.backbone:
        cfg.model.student.backbone.T = time_steps
    if not sees_events:
        return
    for frames in _frames_of_student(cfg):
        frames.time_steps = time_steps
    shape = cfg.model.input_shape
    if isinstance(shape, dict):
        shape.student = (time_steps, *shape.student[1:])
    else:
        cfg.model.input_shape = (time_steps, *shape[1:])


def _frames_of_student(cfg: Config) -> Iterator[dict]:
    for loader in LOADERS:
        for dataset in datasets_in(cfg[loader].dataset):
            for transform in dataset.get('pipeline', ()):
                transform = transform.get('student', transform)  # of two views
                if transform.type in FRAMES:
                    yield transform
