"""What a report compares: groups of runs, their accuracies and what they logged."""
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from ..runs.folders import Run
from ..runs.logs import METRIC, keys_of, loss_keys, train_lines, val_lines
from .over_seeds import Curve, Gain, spread

BASELINE = 'plain'
# Methods whose runs hold a BKDLoss, the one to show first.
DISTILLED = ('mixed', 'bkd')
# More lines in one chart cannot be told apart.
MAX_DRAWN = 6


@dataclass
class Group:
    """Runs of one config with different seeds.

    Attributes:
        name: Short and unique in the report.
        runs: Those with a checkpoint, by seed.
        accuracy: Test accuracy in percent by seed, from ``summary.json`` or measured.
        lr: Learning rate.
    """

    name: str
    runs: List[Run] = field(default_factory=list)
    accuracy: Dict[int, float] = field(default_factory=dict)
    lr: Optional[float] = None

    @property
    def distils(self) -> bool:
        """Whether its runs learn from a teacher."""
        return any(run.distils for run in self.runs)

    @property
    def short_name(self) -> str:
        """The last part of its name: that of its method, where several folders of methods are compared."""
        return self.name.rpartition('/')[-1]

    @property
    def mean(self) -> float:
        """Mean accuracy over seeds."""
        return statistics.mean(self.accuracy.values())

    @property
    def std(self) -> Optional[float]:
        """Standard deviation over seeds; ``None`` for one seed."""
        return spread(list(self.accuracy.values()))

    def val_curve(self) -> Optional[Curve]:
        """Validation accuracy in percent over epochs."""
        return Curve.stack([{line['step']: [line[METRIC]] for line in val_lines(run) if METRIC in line}
                            for run in self.runs])

    def train_curve(self, key: str) -> Optional[Curve]:
        """Mean of a logged training value in each epoch; of runs by iterations, at each logged iteration."""
        return Curve.stack([_by_epoch(run, key) for run in self.runs])

    def loss_terms(self) -> Dict[str, Curve]:
        """Curves of all summands of the training loss, by log key."""
        keys = loss_keys(self.runs[0]) if self.runs else []
        curves = {key: self.train_curve(key) for key in keys}
        return {key: curve for key, curve in curves.items() if curve is not None}

    @property
    def losses(self) -> dict:
        """Configs of the losses of a distillation, by log key."""
        return self.runs[0].config.model.get('losses') or {} if self.runs else {}

    def own_loss(self) -> Optional[Curve]:
        """Curve of the student's own loss against the labels; an ANN logs it as its whole loss.

        ``None`` where a method replaces, weighs or drops it, so that it does not compare.
        """
        if 'loss_cls' in self.losses:
            return None
        logged = keys_of(train_lines(self.runs[0])) if self.runs else []
        return self.train_curve('loss_cls' if 'loss_cls' in logged else 'loss')


@dataclass
class Comparison:
    """All groups of a report.

    Attributes:
        groups: In the order of the table, the baseline first.
        paths: What the user named.
        teacher: Test accuracy of the teacher in percent, if it is known.
    """

    groups: List[Group]
    paths: List[Path]
    teacher: Optional[float] = None

    @property
    def baseline(self) -> Group:
        """What the others are compared with: ``plain``, else the first without a teacher, else the first."""
        return min(self.groups, key=lambda group: (group.short_name != BASELINE, group.distils))

    @property
    def main(self) -> Optional[Group]:
        """The group to set against the baseline: a blurred distillation if there is one; ``None`` for one group."""
        others = [group for group in self.groups if group is not self.baseline and group.runs]
        others.sort(key=lambda group: (not group.distils, (*DISTILLED, group.short_name).index(group.short_name)))
        return next(iter(others), None)

    @property
    def shown(self) -> List[Group]:
        """The baseline and the main group: those shown where there is no room for all."""
        return [group for group in (self.baseline, self.main) if group is not None and group.runs]

    @property
    def focus(self) -> Group:
        """The group that the report looks at most closely: the main one, or the only one."""
        return self.shown[-1]

    @property
    def drawn(self) -> List[Group]:
        """Groups that are drawn into one chart: all with runs, or as many as can be told apart."""
        groups = [group for group in self.groups if group.runs]
        others = [group for group in groups if group not in self.shown]
        chosen = self.shown + others[:MAX_DRAWN - len(self.shown)]
        return [group for group in groups if group in chosen]

    def val_curves(self, groups: Sequence[Group]) -> Dict[str, Curve]:
        """Validation accuracy of the groups that logged it."""
        curves = {group.name: group.val_curve() for group in groups}
        return {name: curve for name, curve in curves.items() if curve is not None}

    def own_losses(self, groups: Sequence[Group]) -> Dict[str, Curve]:
        """Training loss of the groups without distillation terms, which the baseline does not have."""
        curves = {group.name: group.own_loss() for group in groups}
        return {name: curve for name, curve in curves.items() if curve is not None}

    def gain(self, group: Group) -> Optional[Gain]:
        """Gain over the baseline on the seeds that both have; ``None`` where there is none."""
        shared = [seed for seed in group.accuracy if seed in self.baseline.accuracy]
        if group is self.baseline or not shared:
            return None
        return Gain([group.accuracy[seed] - self.baseline.accuracy[seed] for seed in shared])


def seed_of(group: Group, run: Run) -> int:
    """Under which number a run's accuracy is kept: its seed, or its place where it has none."""
    return group.runs.index(run) if run.seed is None else run.seed


def _by_epoch(run: Run, key: str) -> Dict[int, List[float]]:
    epochs: Dict[int, List[float]] = {}
    for line in train_lines(run):
        if key in line:
            epochs.setdefault(line.get('epoch', line['step']), []).append(line[key])
    return epochs
