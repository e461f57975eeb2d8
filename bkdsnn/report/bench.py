"""The measuring bench of a report: its networks, its data, and what may be missing of them."""
import os
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, TypeVar, Union

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from rich.console import Console
from rich.progress import track
from torch import nn

from ..config.data import without
from ..models.distillers import Distiller
from ..runs.folders import Run
from .groups import Comparison, Group, seed_of
from .networks import Data, load_distiller, load_student

T = TypeVar('T')
# A run's place in the report: its group's name and its seed.
Key = Tuple[str, int]


class Missing(str):
    """Why something cannot be shown."""


def attempt(function: Callable[..., T], *arguments: Any) -> Union[T, Missing]:
    """What a function returns, or, since a report shows what it can, the message of its error.

    With ``BKDSNN_DEBUG=1`` the error is raised.
    """
    try:
        return function(*arguments)
    except Exception as error:
        if os.environ.get('BKDSNN_DEBUG'):
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        return Missing(str(message) or type(error).__name__)


@dataclass
class Bench:
    """What all measurements share.

    Attributes:
        comparison: The runs.
        samples: At most so many samples of a data set are used.
        device: Where networks run.
        show_progress: Whether to print progress to the terminal.
        students: In eval mode.
        distillers: By name of the group, that of its first run; ``Missing`` where the teacher cannot be built.
        notes: What went wrong on the way, for the reader.
    """

    comparison: Comparison
    samples: int = 10000
    device: str = 'cpu'
    show_progress: bool = False
    students: Dict[Key, nn.Module] = field(default_factory=dict)
    distillers: Dict[str, Union[Distiller, Missing]] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    _data: Dict[Tuple[str, str], Data] = field(default_factory=dict)

    def load(self) -> 'Bench':
        """Build all networks; those that cannot be built are noted."""
        for group, run in self.track(self.all_runs, 'Loading networks'):
            network = attempt(load_student, run, self.device)
            if isinstance(network, Missing):
                self.notes.append(f'{run.folder} is left out of all measurements: {network}')
            else:
                self.students[group.name, seed_of(group, run)] = network
            if run.distils and group.name not in self.distillers:
                self.distillers[group.name] = self._load_distiller(group, run)
        return self

    def _load_distiller(self, group: Group, run: Run) -> Union[Distiller, Missing]:
        distiller = attempt(load_distiller, run, self.device)
        if isinstance(distiller, Missing):
            self.notes.append(f'What needs the teacher of {group.name} is missing: {distiller}')
            return Missing(f'this needs the teacher of {group.name}, which could not be built; the first section says '
                           'why.')
        return distiller

    def track(self, items: Iterable[T], title: str, total: Optional[int] = None) -> Iterable[T]:
        """Iterate, with a progress bar on the terminal."""
        return track(items, title, total=total, console=Console(stderr=True), disable=not self.show_progress)

    @property
    def all_runs(self) -> List[Tuple[Group, Run]]:
        """All runs with their groups."""
        return [(group, run) for group in self.comparison.groups for run in group.runs]

    def first(self, group: Group) -> Optional[nn.Module]:
        """The group's first student that could be built."""
        return next((network for (name, _), network in self.students.items() if name == group.name), None)

    def teacher_of(self, group: Group) -> Tuple[Optional[Group], Union[Distiller, Missing, None]]:
        """The distilled group whose teacher a group is compared with, and its distiller.

        It is its own, else the first that was built and is tested on the same data; ``None`` where no teacher is asked.
        """
        groups = {other.name: other for other in self.comparison.groups}
        teaching = {name: found for name, found in self.distillers.items()
                    if isinstance(found, Missing) or found.has_teacher}
        if group.name in teaching:
            return group, teaching[group.name]
        others = [(groups[name], found) for name, found in teaching.items()
                  if same_samples(groups[name].runs[0].config, group.runs[0].config)]
        others.sort(key=lambda pair: isinstance(pair[1], Missing))
        return others[0] if others else (None, None)

    def data(self, run: Run, split: str, samples: Optional[int] = None) -> Data:
        """A data set of a run, cut down to ``samples`` of its own or of all; runs with the same loader share it."""
        return self.whole(run, split).spread(min(samples or self.samples, self.samples))

    def whole(self, run: Run, split: str) -> Data:
        """All of a data set of a run."""
        key = (split, str(run.config.get(f'{split}_dataloader')))
        if key not in self._data:
            self._data[key] = Data.of(run, split)
        return self._data[key]


def same_samples(a: Config, b: Config, split: str = 'test', other_split: Optional[str] = None) -> bool:
    """Whether two configs name the same data set, whatever their pipelines make of it."""
    def source(config: Config, split: str) -> dict:
        dataset = (config.get(f'{split}_dataloader') or ConfigDict(dataset=ConfigDict())).dataset
        return without(dataset, 'pipeline', 'cache_dir')
    return source(a, split) == source(b, other_split or split)


@contextmanager
def reproducible(seed: int = 0) -> Iterator[None]:
    """Draw the same augmentation and masks in every report, and leave the caller's random numbers as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def default_device() -> str:
    """``'cuda'`` where there is a GPU."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'
