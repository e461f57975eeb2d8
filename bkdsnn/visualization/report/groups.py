"""What a report compares: runs, grouped by config, and what a ``summary.json`` beside them says."""
import json
import os.path as osp
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from ...utils.logs import METRIC, keys_of, loss_keys, train_lines, val_lines
from ...utils.runs import Run, find_runs
from .config_diff import settings_of
from .statistics import Curve, Gain, spread

BASELINE = 'plain'
# Methods whose runs hold a BKDLoss, the one to show first.
DISTILLED = ('mixed', 'bkd')
SUMMARY = 'summary.json'
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

    def own_loss(self) -> Optional[Curve]:
        """Curve of the loss against the labels, which all students have; an ANN logs it as its whole loss."""
        logged = keys_of(train_lines(self.runs[0])) if self.runs else []
        return self.train_curve('loss_cls' if 'loss_cls' in logged else 'loss')


@dataclass
class Comparison:
    """All groups of a report.

    Attributes:
        groups: In the order of the table.
        paths: What the user named.
        teacher: Test accuracy of the teacher in percent, if it is known.
    """

    groups: List[Group]
    paths: List[Path]
    teacher: Optional[float] = None

    @classmethod
    def read(cls, paths: Sequence[str]) -> 'Comparison':
        """Open runs.

        Args:
            paths: Work directories; folders above some; or folders with a ``summary.json`` of ``compare_runs.py``.

        Raises:
            FileNotFoundError: If a path holds no run with a checkpoint; the message names the command that makes one.
            ValueError: If a summary is damaged.
        """
        comparison = cls([], [Path(path) for path in paths])
        loose: List[Run] = []
        for path in dict.fromkeys(comparison.paths):
            if (path / SUMMARY).is_file():
                comparison._add_summary(path)
            else:
                loose += _runs_of(path)
        comparison.groups += group_runs(loose)
        _rename(comparison.groups)
        if not any(group.runs for group in comparison.groups):
            example = comparison.paths[0] / 'plain' / 'seed0'
            raise FileNotFoundError(f'{", ".join(map(str, comparison.paths))} holds no trained run such as {example}. '
                                    'Run `make demo`, which trains them, or python tools/train.py CONFIG.')
        return comparison

    def _add_summary(self, folder: Path) -> None:
        path = folder / SUMMARY
        try:
            summary = json.loads(path.read_text())
            groups = [_summarised(name, entry, _seeds(folder / name))
                      for name, entry in summary['methods'].items() if entry['accuracy']]
            teachers = [float(accuracy) for accuracy in summary.get('teachers', {}).values()]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is not a summary of runs ({type(error).__name__}: {error}). Write it anew with '
                             f'python tools/analysis_tools/compare_runs.py {folder}, or `make demo`.') from error
        self.groups += groups
        self.teacher = max(teachers, default=self.teacher)

    @property
    def baseline(self) -> Group:
        """What the others are compared with: ``plain``, else the first without a teacher, else the first."""
        return min(self.groups, key=lambda group: (group.name != BASELINE, group.distils))

    @property
    def main(self) -> Optional[Group]:
        """The group to set against the baseline: a blurred distillation if there is one; ``None`` for one group."""
        others = [group for group in self.groups if group is not self.baseline and group.runs]
        others.sort(key=lambda group: (not group.distils, (*DISTILLED, group.name).index(group.name)))
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


def group_runs(runs: Sequence[Run]) -> List[Group]:
    """Group runs that differ in their seed alone, in the order of the first of each."""
    groups: List[Group] = []
    for run in runs:
        settings = _without_seed(run)
        for group in groups:
            if settings == _without_seed(group.runs[0]) and run.seed not in [None, *(r.seed for r in group.runs)]:
                group.runs.append(run)
                break
        else:
            groups.append(Group('', [run], lr=_lr(run)))
    for group in groups:
        group.runs.sort(key=lambda run: -1 if run.seed is None else run.seed)
    return groups


def seed_of(group: Group, run: Run) -> int:
    """Under which number a run's accuracy is kept: its seed, in a summary its place."""
    return group.runs.index(run) if run.seed is None else run.seed


def _without_seed(run: Run) -> Dict[str, Any]:
    return {key: value for key, value in settings_of(run.config).items() if key != 'randomness'}


def _lr(run: Run) -> Optional[float]:
    return (run.config.get('optim_wrapper', {}).get('optimizer') or {}).get('lr')


def _runs_of(path: Path) -> List[Run]:
    """Runs at or below a path that have a checkpoint, without those that only teach others of them."""
    runs = find_runs(str(path))
    teachers = {osp.abspath(str(run.config.model.teacher.get('checkpoint'))) for run in runs if run.distils}
    teachers |= {str(teacher.parent if teacher.suffix == '.pth' else teacher) for teacher in map(Path, teachers)}
    runs = [run for run in runs if len(runs) == 1 or osp.abspath(run.folder) not in teachers]
    untrained = [run for run in runs if run.checkpoint is None]
    if len(untrained) == len(runs):
        raise FileNotFoundError(f'{path} has a config but no checkpoint yet; train it with python tools/train.py '
                                f'{runs[0].config.filename} --work-dir {runs[0].folder}')
    return [run for run in runs if run.checkpoint]


def _summarised(name: str, entry: dict, runs: List[Run]) -> Group:
    """A group as a summary has it, which lists the accuracies of all seeds in their order."""
    accuracies = list(map(float, entry['accuracy']))
    group = Group(name, runs, lr=entry.get('lr'))
    seeds = [seed_of(group, run) for run in runs] if len(runs) == len(accuracies) else range(len(accuracies))
    group.accuracy = dict(zip(seeds, accuracies))
    return group


def _seeds(folder: Path) -> List[Run]:
    """Runs ``seed<k>`` with a checkpoint, in the order of their seeds."""
    paths = [path for path in folder.glob('seed*') if path.name[4:].isdigit() and any(path.glob('*.py'))]
    return [run for run in map(Run.open, sorted(paths, key=lambda path: int(path.name[4:]))) if run.checkpoint]


def _by_epoch(run: Run, key: str) -> Dict[int, List[float]]:
    epochs: Dict[int, List[float]] = {}
    for line in train_lines(run):
        if key in line:
            epochs.setdefault(line.get('epoch', line['step']), []).append(line[key])
    return epochs


def _rename(groups: List[Group]) -> None:
    """Name each group that has no name by the end of its folder that no other shares."""
    folders = [_folder(group) for group in groups]
    for group, parts in zip(groups, folders):
        if not group.name:
            lengths = [n for n in range(1, len(parts) + 1) if sum(other[-n:] == parts[-n:] for other in folders) == 1]
            # Where two configs share a folder of seeds, the seeds' folders tell them apart.
            group.name = '/'.join(parts[-lengths[0]:] if lengths else group.runs[0].folder.absolute().parts[-2:])


def _folder(group: Group) -> List[str]:
    """Parts of the path that names a group, without what only tells its seeds apart."""
    if group.name:
        return [group.name]
    paths = [osp.abspath(run.folder) for run in group.runs]
    if len(paths) == 1:
        path = re.sub(r'/seed\d+$', '', paths[0])
    else:
        path = re.sub(r'[-_./]?(seed|(?<=[-_./])s)?$', '', osp.commonprefix(paths))
    return path.strip('/').split('/')
