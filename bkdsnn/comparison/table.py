"""Who stands where: means over seeds, paired gains, and what they allow to say."""
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..report.over_seeds import Gain, spread
from .plan import LEARNING_RATE, PLAIN, Entry, Plan, name_of, of_loss
from .tuning import Choice
from .work import Progress


@dataclass
class Standing:
    """A method in the table, with one of the neurons.

    Attributes:
        method: Its name.
        lines: Its finished runs, by seed.
        choice: Its point; ``None`` where there is none.
        failures: Why seeds have failed, by seed.
        reason: Why there is no run at all.
        gain: Over plain, seed by seed.
        behind: Difference to the best method, seed by seed; ``None`` for the best.
        is_best: Whether it is the best, or the seeds do not tell it from the best.
        neuron: The neuron's name; ``None`` is the pair's own.
        variation: What is varied and its value here.
    """

    method: str
    lines: Dict[int, dict] = field(default_factory=dict)
    choice: Optional[Choice] = None
    failures: Dict[int, str] = field(default_factory=dict)
    reason: Optional[str] = None
    gain: Optional[Gain] = None
    behind: Optional[Gain] = None
    is_best: bool = False
    neuron: Optional[str] = None
    variation: Dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the method with the neuron and what is varied."""
        return name_of(self.method, self.neuron, self.variation)

    @property
    def student(self) -> str:
        """What a plain run must share with it, for the gain over plain."""
        return name_of(PLAIN, self.neuron, {key: value for key, value in self.variation.items() if not of_loss(key)})

    @property
    def accuracy(self) -> Dict[int, float]:
        """Test accuracy in percent, by seed."""
        return {seed: line['accuracy'] for seed, line in self.lines.items()}

    def mean(self, *keys: str) -> Optional[float]:
        """Mean of a figure over seeds; ``None`` if a run does not have it."""
        values = []
        for value in self.lines.values():
            for key in keys:
                value = (value or {}).get(key)
            values.append(value)
        return None if None in values or not values else statistics.mean(values)

    def over_time(self) -> List[float]:
        """Mean accuracy after each time step."""
        return [statistics.mean(step) for step in zip(*(line['accuracy_over_time'] for line in self.lines.values()))]

    @property
    def remarks(self) -> List[str]:
        """What a reader should know."""
        found = [] if self.reason is None else [self.reason]
        if self.failures:
            total = len(self.failures) + len(self.lines)
            found.append(f'{len(self.failures)} of {total} seeds failed: {short(next(iter(self.failures.values())))}')
        if self.choice is not None and self.choice.on_edge:
            found.append('the best point lies on the edge of what was tried')
        return found


def short(reason: str, length: int = 200) -> str:
    """The beginning of a reason, all of which is in the results."""
    return reason if len(reason) <= length else f'{reason[:length]} ...'


def tied(gain: Gain) -> bool:
    """Whether the 95 % interval of a difference holds zero."""
    return abs(gain.mean) <= gain.half_width


def paired(a: Standing, b: Standing) -> Optional[Gain]:
    """What one method has more than another, on the seeds that both have; ``None`` if there are none."""
    differences = [value - b.accuracy[seed] for seed, value in a.accuracy.items() if seed in b.accuracy]
    return Gain(differences) if differences else None


@dataclass
class Standings:
    """The table.

    Attributes:
        plan: The comparison.
        rows: Methods, the best first; those without a finished run last.
    """

    plan: Plan
    rows: List[Standing]

    @classmethod
    def of(cls, progress: Progress, entries: List[Entry], reasons: Dict[str, Optional[str]]) -> 'Standings':
        """The table of what is finished.

        Args:
            progress: Of the comparison.
            entries: All methods that were asked for.
            reasons: Why a method cannot be trained, by name.
        """
        progress.open_tasks()  # takes over what others have finished
        lines = progress.ledger.lines()
        tunings = {tuning.entry.name: tuning for tuning in progress.tunings}
        rows = {entry.name: Standing(entry.method, reason=reasons[entry.name], neuron=entry.neuron,
                                     variation=entry.variation) for entry in entries}
        for name, tuning in tunings.items():
            rows[name].choice = tuning.choice
            if tuning.ended and tuning.choice is None:
                rows[name].reason = f'all {len(tuning.scores)} points failed: {short(tuning.reasons[0])}'
        for task in progress.final_tasks():
            line = lines.get(task.key)
            if line is not None and line['status'] == 'failed':
                rows[task.entry.name].failures[task.seed] = line['reason']
            elif line is not None:
                rows[task.entry.name].lines[task.seed] = line
        return cls(progress.plan, ranked(list(rows.values())))

    @property
    def plain(self) -> Optional[Standing]:
        """The student alone, where it has finished runs; of several neurons or variations, with the first."""
        first = Path(self.plan.neurons[0]).stem if self.plan.neurons else None
        name = name_of(PLAIN, first, {key: values[0] for key, values in self.plan.vary.items() if not of_loss(key)})
        return next((row for row in self.rows if row.name == name and row.lines), None)

    def curves(self) -> Dict[str, List[Standing]]:
        """The rows by what they share but for the first varied key: each method with each value of the others."""
        key, *_ = self.plan.vary
        found: Dict[str, List[Standing]] = {}
        for row in self.rows:
            if row.lines:
                others = {other: value for other, value in row.variation.items() if other != key}
                found.setdefault(name_of(row.method, row.neuron, others), []).append(row)
        return found

    def summary(self) -> dict:
        """All figures, for JSON; ``tools/analysis_tools/report.py`` reads it."""
        return dict(pair=Path(self.plan.pair).stem, options=self.plan.options, points=self.plan.points,
                    tune_on=self.plan.tune_on, tune_seeds=self.plan.tune_seeds, finalists=self.plan.finalists,
                    final_seeds=self.plan.final_seeds, vary=self.plan.vary, teachers={},
                    methods={row.name: self._summary_of(row) for row in self.rows})

    def _summary_of(self, row: Standing) -> dict:
        choice = row.choice
        figures = dict(method=row.method, neuron=row.neuron, variation=row.variation,
                       accuracy=list(row.accuracy.values()), seeds=list(row.accuracy), remarks=row.remarks,
                       lr=choice and choice.point.get(LEARNING_RATE), point=choice and choice.point,
                       val_accuracy=choice and choice.accuracy, points=choice and choice.points,
                       failures=row.failures)
        if not row.lines:
            return figures
        costs = {name: row.mean(name) for name in ('spikes', 'firing_rate', 'synops', 'energy', 'step_time')}
        return dict(figures, mean=statistics.mean(figures['accuracy']), std=spread(figures['accuracy']),
                    gain=as_numbers(row.gain), behind=as_numbers(row.behind), is_best=row.is_best,
                    accuracy_over_time=row.over_time(), **costs, relative_step_time=self.relative_time(row),
                    early_exit={name: row.mean('early_exit', name) for name in ('accuracy', 'mean_steps')})

    def relative_time(self, row: Standing) -> Optional[float]:
        """Time of a training step over plain's, medians over the seeds, as workers are slowed down by others."""
        own, plain = ([line['step_time'] for line in one.lines.values()] if one else [] for one in (row, self.plain))
        return statistics.median(own) / statistics.median(plain) if own and plain and None not in own + plain else None


def ranked(rows: List[Standing]) -> List[Standing]:
    """The rows in their order, with their differences to plain and to the best."""
    rows = sorted(rows, key=lambda row: -row.mean('accuracy') if row.lines else float('inf'))
    plain = {row.name: row for row in rows if row.method == PLAIN}
    for row in rows:
        if row.method != PLAIN and row.student in plain:
            row.gain = paired(row, plain[row.student])
        if row is rows[0]:
            row.is_best = bool(row.lines)
        else:
            row.behind = paired(row, rows[0])
            row.is_best = row.behind is not None and tied(row.behind)
    return rows


def as_numbers(gain: Optional[Gain]) -> Optional[dict]:
    """A difference as JSON: mean, standard error and half of the 95 % interval, in percentage points."""
    if gain is None:
        return None
    alone = gain.error is None
    return dict(mean=gain.mean, error=gain.error, half_width=None if alone else gain.half_width, wins=gain.wins,
                seeds=len(gain.differences), told_apart=not tied(gain))
