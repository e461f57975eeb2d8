"""Numbers from the log of a training run."""
import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .folders import Run

# What the logger writes beside losses and metrics.
BOOKKEEPING = ('lr', 'base_lr', 'data_time', 'time', 'memory', 'grad_norm', 'epoch', 'iter', 'step')
METRIC = 'accuracy/top1'
Line = Dict[str, float]


def train_lines(run: Run) -> List[Line]:
    """Log lines of training steps, by step; what a resumed run did again counts as it did it last."""
    return _lines(run)[0]


def val_lines(run: Run) -> List[Line]:
    """Log lines of validations, by step, which is the epoch (of runs by iterations, the iteration)."""
    return _lines(run)[1]


def _lines(run: Run) -> Tuple[List[Line], List[Line]]:
    """Lines of training and of validation. A part replaces what the parts before it say from its first step on."""
    train, val = [], []
    for part in run.scalar_parts():
        own = [line for line in part if 'iter' in line]
        if own:
            train = [line for line in train if line['step'] < own[0]['step']]
        if part:
            # Which is a validation where a kill has interrupted that.
            start = part[0].get('epoch', part[0]['step'])
            val = [line for line in val if line['step'] < start]
        train += own
        val += [line for line in part if 'iter' not in line]
    return _latest(train), _latest(val)


def _latest(lines: List[Line]) -> List[Line]:
    """Of each step the last line: runs that begin in the same second, one after a kill of the other, share a part."""
    kept: List[Line] = []
    for line in lines:
        while kept and kept[-1]['step'] >= line['step']:
            kept.pop()
        kept.append(line)
    return kept


def keys_of(lines: List[Line]) -> List[str]:
    """What the lines hold besides times and counters, in the order of its first appearance."""
    return [key for key in dict.fromkeys(key for line in lines for key in line) if key not in BOOKKEEPING]


def loss_keys(run: Run) -> List[str]:
    """Log keys of the summands of the loss, the student's own first; ``['loss']`` where the total is all there is."""
    keys = [key for key in keys_of(train_lines(run)) if 'loss' in key]
    return [key for key in keys if key != 'loss'] or keys


def metric_of(run: Run) -> Optional[str]:
    """Log key of the metric: top-1 accuracy, else the first that was logged; ``None`` before the first validation."""
    keys = keys_of(val_lines(run))
    return METRIC if METRIC in keys else next(iter(keys), None)


@dataclass(frozen=True)
class LogSummary:
    """One run in a few numbers.

    Attributes:
        done: Epochs (of runs by iterations, iterations) that the log holds.
        planned: How many the config asks for.
        unit: ``'epoch'`` or ``'iter'``.
        metric: Log key of the metric.
        last: Its last value, ``None`` before the first validation.
        best: Its highest value.
        best_at: When that was, in ``unit``.
        step_time: Median seconds per training step, ``None`` without a log.
        elapsed: Seconds of training so far, without validation.
        remaining: Seconds that are left at this speed; 0 when done.
        losses: Last values of the loss's summands.
    """

    done: int
    planned: int
    unit: str
    metric: Optional[str]
    last: Optional[float]
    best: Optional[float]
    best_at: Optional[int]
    step_time: Optional[float]
    elapsed: float
    remaining: Optional[float]
    losses: Dict[str, float]

    @classmethod
    def of(cls, run: Run) -> 'LogSummary':
        """Sum up the log of a run, finished or not."""
        lines, metric = train_lines(run), metric_of(run)
        unit = 'epoch' if 'max_epochs' in run.config.train_cfg else 'iter'
        planned = run.config.train_cfg[f'max_{unit}s']
        values = {line['step']: line[metric] for line in val_lines(run) if metric in line}
        best_at = max(values, key=values.get, default=None)
        times = [line['time'] for line in lines if 'time' in line]
        return cls(
            done=lines[-1][unit] if lines else 0, planned=planned, unit=unit, metric=metric,
            last=next(reversed(values.values()), None), best=values.get(best_at), best_at=best_at,
            step_time=statistics.median(times) if times else None, elapsed=_elapsed(lines),
            remaining=_remaining(lines, unit, planned),
            losses={key: lines[-1][key] for key in loss_keys(run) if key in lines[-1]})


def series(run: Run, key: str) -> Tuple[List[float], List[float]]:
    """A logged value over time.

    Args:
        run: Whose log.
        key: Log key, such as ``'loss_cls'`` or ``'accuracy/top1'``.

    Returns:
        Epochs, of which training steps are fractions (of runs by iterations, iterations), and values.

    Raises:
        ValueError: If it was not logged; the message lists what was.
    """
    validation = [line for line in val_lines(run) if key in line]
    if validation and key not in ('time', 'data_time'):
        return [line['step'] for line in validation], [line[key] for line in validation]
    lines = [line for line in train_lines(run) if key in line]
    if not lines:
        known = dict.fromkeys([*keys_of(train_lines(run)), *keys_of(val_lines(run)), *BOOKKEEPING[:5]])
        raise ValueError(f'{run.folder} has not logged {key!r}; it has {", ".join(known) or "nothing yet"}.')
    per_epoch = max(line['step'] / line['epoch'] for line in lines) if 'epoch' in lines[0] else 1
    return [line['step'] / per_epoch for line in lines], [line[key] for line in lines]


def step_times(run: Run) -> Dict[int, List[float]]:
    """Seconds per training step as they were logged, by epoch; runs by iterations have one epoch, 0."""
    times: Dict[int, List[float]] = {}
    for line in train_lines(run):
        if 'time' in line:
            times.setdefault(line.get('epoch', 0), []).append(line['time'])
    return times


def _elapsed(lines: List[Line]) -> float:
    """Seconds of all steps; a line speaks for the steps since the one before it."""
    starts = [0] + [line['step'] for line in lines]
    return sum((line['step'] - start) * line.get('time', 0.0) for start, line in zip(starts, lines))


def _remaining(lines: List[Line], unit: str, planned: int) -> Optional[float]:
    """Seconds that are left; ``None`` where the log does not tell how many steps an epoch has."""
    if not lines or (unit == 'epoch' and lines[-1]['epoch'] == 1 < planned):
        return None
    # The last line of an epoch is written at its end, or a little before.
    steps = planned * max(line['step'] / line[unit] for line in lines)
    return max(steps - lines[-1]['step'], 0) * _elapsed(lines) / lines[-1]['step']
