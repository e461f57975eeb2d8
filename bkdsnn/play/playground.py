"""The demo's networks, side by side on one sample, with the test samples to choose from."""
import random
from pathlib import Path
from threading import Lock
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from ..apis import get_model
from ..datasets.event_files import read_events
from ..datasets.events import check_events, sort_events
from ..datasets.transforms import events_to_frames
from ..models.layers import time_mean
from ..models.neurons import SpikingNode
from ..registry import DATASETS
from .watching import Watched, watch

STUDENTS = ('plain', 'mixed')
MAX_STEPS = 16
# Larger sensors than any of today; coordinates beyond come from a damaged file.
MAX_SENSOR = 1280


class Sample(NamedTuple):
    """What the networks are asked about.

    Attributes:
        data: Scan (8, 8) with ink from 0 to 16, or the events of a recording.
        name: To show.
        label: Its class, where that is known.
        sensor_size: Width, height and polarities of the camera that recorded events.
    """

    data: np.ndarray
    name: str
    label: Optional[int] = None
    sensor_size: Optional[Tuple[int, int, int]] = None


class Playground:
    """The plain student, the distilled one and their teacher, and what they answer on the test data.

    Args:
        networks: ``plain``, ``mixed`` and ``teacher`` in eval mode, each with its ``cfg``.
    """

    prefix = ''

    def __init__(self, networks: Dict[str, nn.Module]) -> None:
        self.networks = networks
        # A network shows images for one number of steps at a time, and a page has many visitors.
        self._lock = Lock()
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            self.dataset = DATASETS.build(networks['plain'].cfg.test_dataloader.dataset)
        self.labels = torch.tensor(self.dataset.get_gt_labels())
        self.answers = self._answer_all()

    @classmethod
    def load(cls) -> 'Playground':
        """With the weights that are published.

        Raises:
            OSError: If they are missing; the message names the commands that make them.
        """
        try:
            networks = {name: get_model(f'demo/{cls.prefix}{name}', pretrained=True) for name in (*STUDENTS, 'teacher')}
        except OSError as error:
            raise OSError(f'{error} The weights come with the package: install it again, or train them with make demo '
                          'demo-events demo-weights.') from error
        for network in networks.values():
            for module in network.modules():
                if isinstance(module, SpikingNode):
                    module.backend = 'eager'  # compiling would take longer than all that is asked here
        return cls(networks)

    @property
    def accuracy(self) -> Dict[str, float]:
        """Of each network on the test data, in percent."""
        return {name: 100 * (answers == self.labels).double().mean().item() for name, answers in self.answers.items()}

    @property
    def trained_steps(self) -> int:
        """Time steps that the students were trained with."""
        raise NotImplementedError

    def sample(self, index: int) -> Sample:
        """A sample of the test data."""
        raise NotImplementedError

    def inputs(self, sample: Sample, time_steps: int) -> Dict[str, Tensor]:
        """What each network gets, before its data preprocessor and without the batch axis."""
        raise NotImplementedError

    @torch.no_grad()
    def _answer_all(self, batch_size: int = 128) -> Dict[str, Tensor]:
        """Classes (N, ) that each network predicts for the test data."""
        answers: Dict[str, List[Tensor]] = {name: [] for name in self.networks}
        for indices in torch.arange(len(self.labels)).split(batch_size):
            inputs = [self.inputs(self.sample(index), self.trained_steps) for index in indices.tolist()]
            for name, network in self.networks.items():
                logits = network(self._prepared(name, [sample[name] for sample in inputs]))
                answers[name].append(time_mean(logits).argmax(-1))
        return {name: torch.cat(parts) for name, parts in answers.items()}

    def _prepared(self, name: str, inputs: List[Tensor]) -> Tensor:
        """A batch of what a network gets, through its data preprocessor."""
        return self.networks[name].data_preprocessor(dict(inputs=inputs))['inputs']

    @property
    def disputed(self) -> List[int]:
        """Indices of the test samples on which the students disagree."""
        return (self.answers['plain'] != self.answers['mixed']).nonzero().flatten().tolist()

    def pick(self, rng: random.Random, disputed: bool = False) -> Sample:
        """A test sample by chance; ``disputed``: of those on which the students disagree, if there are any."""
        return self.sample(rng.choice((disputed and self.disputed) or range(len(self.labels))))

    def play(self, sample: Sample, time_steps: int) -> Dict[str, Watched]:
        """Watch all networks on a sample.

        Args:
            sample: What they are asked about.
            time_steps: Of the students, 1 to 16; the teacher does as it was trained.

        Raises:
            ValueError: If there cannot be that many steps.
        """
        if time_steps not in range(1, MAX_STEPS + 1):
            raise ValueError(f'T={time_steps!r} time steps cannot be shown; choose a whole number from 1 to '
                             f'{MAX_STEPS}.')
        with self._lock:
            inputs = self.inputs(sample, int(time_steps))
            return {name: watch(network, self._prepared(name, [inputs[name]]), int(time_steps))
                    for name, network in self.networks.items()}


class DigitPlayground(Playground):
    """Scans of digits, shown for T steps."""

    @property
    def trained_steps(self) -> int:
        return self.networks['plain'].backbone.T

    def sample(self, index: int) -> Sample:
        info = self.dataset.get_data_info(index)
        scan = np.round(info['img'][..., 0] * (16 / 255)).astype(np.uint8)
        return Sample(scan, f'Test scan {index + 1} of {len(self.labels)}', info['gt_label'])

    def inputs(self, sample: Sample, time_steps: int) -> Dict[str, Tensor]:
        # As bkdsnn.datasets.Digits scales them.
        image = torch.from_numpy(np.round(sample.data * (255 / 16)).astype(np.uint8)).unsqueeze(0)
        return dict.fromkeys(self.networks, image)


class EventPlayground(Playground):
    """Recordings of an event camera, cut into T frames of equally many events.

    More frames have fewer events each, which would not drive neurons that were trained on brighter ones. So an event
    counts T over the number of frames in training.
    """

    prefix = 'events_'

    @property
    def trained_steps(self) -> int:
        return _frames_of(self.networks['plain'])

    def sample(self, index: int) -> Sample:
        info = self.dataset.get_data_info(index)
        return Sample(self.dataset.load_events(info), f'Test recording {index + 1} of {len(self.labels)}',
                      info['gt_label'], info['sensor_size'])

    def inputs(self, sample: Sample, time_steps: int) -> Dict[str, Tensor]:
        def frames(count: int) -> Tensor:
            return torch.from_numpy(events_to_frames(sample.data, sample.sensor_size, count))

        student = frames(time_steps) * (time_steps / self.trained_steps)
        return dict(dict.fromkeys(STUDENTS, student), teacher=frames(_frames_of(self.networks['teacher'])))

    def shelf(self, per_class: int = 2) -> List[int]:
        """Indices of the first so many test recordings of each class."""
        return [index for label in range(len(self.dataset.metainfo['classes']))
                for index in (self.labels == label).nonzero().flatten()[:per_class].tolist()]

    def read(self, path: str) -> Sample:
        """A recording from a file.

        Raises:
            OSError: If it cannot be read.
            ValueError: If it has no events, or they come from no sensor.
        """
        name = Path(path).name
        try:
            events = read_events(path)
        except OSError as error:
            # Visitors have never seen the folder that their file was uploaded to.
            raise OSError(str(error).replace(str(path), name)) from error
        if not len(events):
            raise ValueError(f'{name} has no events.')
        width, height, _ = self.dataset.metainfo['sensor_size']
        sensor_size = (max(width, int(events['x'].max()) + 1), max(height, int(events['y'].max()) + 1), 2)
        check_events(events, (min(sensor_size[0], MAX_SENSOR), min(sensor_size[1], MAX_SENSOR), 2))
        return Sample(sort_events(events), name, sensor_size=sensor_size)


def _frames_of(network: nn.Module) -> int:
    """Frames that a network was trained with."""
    return network.cfg.test_dataloader.dataset.pipeline[0].time_steps
