"""What a report says in numbers: ``summary.json`` and the logs of the runs beside it."""
import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ..utils.runs import Run

BASELINE = 'plain'
# Methods whose runs hold a BKDLoss, the one to show first.
DISTILLED = ('mixed', 'bkd')
# Two-sided 95% quantiles of Student's t for 1 to 9 degrees of freedom; beyond, the approximation is good to 1%.
T_QUANTILE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass
class Curve:
    """One logged value over epochs: ``epochs`` (E, ) and ``values`` (S, E), one row per seed."""

    epochs: np.ndarray
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over seeds, shape (E, )."""
        return self.values.mean(0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over seeds, shape (E, ); zeros for one seed."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.zeros(len(self.epochs))


@dataclass
class Gain:
    """Differences to the baseline in percentage points, seed by seed."""

    differences: List[float]

    @property
    def mean(self) -> float:
        """Mean difference."""
        return statistics.mean(self.differences)

    @property
    def error(self) -> Optional[float]:
        """Standard error of the mean; ``None`` for one seed."""
        n = len(self.differences)
        return statistics.stdev(self.differences) / math.sqrt(n) if n > 1 else None

    @property
    def half_width(self) -> float:
        """Half of the 95% confidence interval (Student's t); infinite for one seed."""
        freedom = len(self.differences) - 1
        if freedom < 1:
            return math.inf
        quantile = T_QUANTILE[freedom - 1] if freedom <= len(T_QUANTILE) else 1.96 + 2.5 / freedom
        return quantile * self.error

    @property
    def wins(self) -> int:
        """On how many seeds the method is ahead."""
        return sum(difference > 0 for difference in self.differences)


@dataclass
class Method:
    """One way of training the student: test accuracies in percent, one per seed, and the runs on disk."""

    name: str
    accuracy: List[float]
    lr: Optional[float] = None
    runs: List[Run] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean accuracy over seeds."""
        return statistics.mean(self.accuracy)

    @property
    def std(self) -> Optional[float]:
        """Standard deviation over seeds; ``None`` for one seed."""
        return statistics.stdev(self.accuracy) if len(self.accuracy) > 1 else None

    def val_curve(self) -> Optional[Curve]:
        """Validation accuracy in percent over epochs."""
        return _curve([{line['step']: [line['accuracy/top1']] for line in run.scalars() if 'accuracy/top1' in line}
                       for run in self.runs])

    def train_curve(self, key: str) -> Optional[Curve]:
        """Mean of a logged training value in each epoch."""
        return _curve([_by_epoch(run, key) for run in self.runs])

    def loss_terms(self) -> Dict[str, Curve]:
        """Curves of all summands of the training loss, by log key."""
        lines = self.runs[0].scalars() if self.runs else []
        keys = dict.fromkeys(key for line in lines if 'epoch' in line for key in line)
        return {key: self.train_curve(key) for key in keys if 'loss' in key and key != 'loss'}


@dataclass
class Comparison:
    """All methods of one folder."""

    folder: Path
    methods: Dict[str, Method]
    teacher: Optional[float] = None

    @classmethod
    def read(cls, folder: str) -> 'Comparison':
        """Read ``summary.json`` and open the runs of its methods.

        Raises:
            FileNotFoundError: If there is no summary or no run; the message names the command that makes them.
            ValueError: If the summary is damaged or lacks the baseline.
        """
        folder = Path(folder)
        path = folder / 'summary.json'
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist, so there is nothing to report. Run `make demo`, which '
                                    'trains the networks and writes it.')
        try:
            summary = json.loads(path.read_text())
            methods = {name: Method(name, [float(a) for a in entry['accuracy']], entry.get('lr'), _runs(folder / name))
                       for name, entry in summary['methods'].items() if entry['accuracy']}
            teachers = [float(a) for a in summary.get('teachers', {}).values()]
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f'{path} is not a summary of runs ({type(error).__name__}: {error}). Write it anew with '
                             '`make demo`.') from error
        if BASELINE not in methods:
            raise ValueError(f'{path} has no accuracy of {BASELINE!r}, only of {list(methods)}: there is nothing to '
                             'compare with. Write it anew with `make demo`.')
        if not methods[BASELINE].runs:
            raise FileNotFoundError(f'{folder / BASELINE} holds no trained run such as {folder / BASELINE / "seed0"}. '
                                    'Run `make demo`, which trains them.')
        return cls(folder, methods, max(teachers, default=None))

    @property
    def plain(self) -> Method:
        """The baseline."""
        return self.methods[BASELINE]

    @property
    def main(self) -> Optional[Method]:
        """The method to set against the baseline: a blurred distillation with runs if there is one."""
        others = [name for name in (*DISTILLED, *self.methods) if name in self.methods and name != BASELINE]
        return next((self.methods[name] for name in others if self.methods[name].runs), None)

    @property
    def shown(self) -> List[Method]:
        """The baseline and, where there is one, the main method."""
        return [self.plain] + ([self.main] if self.main else [])

    def gain(self, name: str) -> Gain:
        """Gain over the baseline on the seeds that both have."""
        return Gain([a - b for a, b in zip(self.methods[name].accuracy, self.plain.accuracy)])


def verdict(method: Method, gain: Gain) -> str:
    """One sentence on what the seeds allow to say about a method against the baseline."""
    seeds = len(gain.differences)
    start = f'{method.name} reaches {method.mean:.2f} % on average, {gain.mean:+.2f} points against {BASELINE}'
    if seeds < 2:
        return f'{start}, from one seed: chance cannot be told from effect.'
    low, high = gain.mean - gain.half_width, gain.mean + gain.half_width
    if low > 0:
        meaning = f'better than {BASELINE} by more than the seeds scatter'
    elif high < 0:
        meaning = f'worse than {BASELINE} by more than the seeds scatter'
    else:
        meaning = f'these {seeds} seeds do not tell it from {BASELINE}'
    return (f'{start} (95 % interval {low:+.2f} to {high:+.2f}; ahead on {gain.wins} of {seeds} seeds): {meaning}.')


def _runs(folder: Path) -> List[Run]:
    """Runs with a checkpoint, in the order of their seeds."""
    runs = []
    for path in folder.glob('seed*'):
        if path.name[4:].isdigit() and any(path.glob('*.py')):
            runs.append(Run.open(path))
    return sorted((run for run in runs if run.checkpoint), key=lambda run: int(run.folder.name[4:]))


def _by_epoch(run: Run, key: str) -> Dict[int, List[float]]:
    # Steps that a resumed run did twice count once, as it did them last.
    steps = {line['step']: line for line in run.scalars() if key in line and 'epoch' in line}
    epochs: Dict[int, List[float]] = {}
    for line in steps.values():
        epochs.setdefault(line['epoch'], []).append(line[key])
    return epochs


def _curve(seeds: List[Dict[int, List[float]]]) -> Optional[Curve]:
    """Stack what the seeds logged, at the epochs that all of them have."""
    epochs = sorted(set.intersection(*map(set, seeds))) if seeds else []
    if not epochs:
        return None
    return Curve(np.array(epochs), np.array([[statistics.mean(seed[epoch]) for epoch in epochs] for seed in seeds]))
