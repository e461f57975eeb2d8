"""From what a user names to the groups that a report compares."""
import json
import os.path as osp
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..config.networks import teacher_configs
from ..runs.folders import Run, find_runs
from .config_diff import settings_of
from .groups import Comparison, Group, seed_of

SUMMARY = 'summary.json'
# A group and the folder that names it.
Found = Tuple[Group, Path]


def read_comparison(paths: Sequence[str]) -> Comparison:
    """Open runs.

    Args:
        paths: Work directories; folders above some; or folders with a ``summary.json`` of ``compare_runs.py``.

    Raises:
        FileNotFoundError: If a path holds no run with a checkpoint; the message names the command that makes one.
        ValueError: If no path is given, or a summary is damaged.
    """
    if not paths:
        raise ValueError('name at least one run.')
    comparison = Comparison([], list(map(Path, paths)))
    found: List[Found] = []
    loose: List[Run] = []
    for path in dict.fromkeys(comparison.paths):
        if (path / SUMMARY).is_file():
            groups, teacher = read_summary(path)
            found += groups
            comparison.teacher = comparison.teacher or teacher
        else:
            loose += runs_of(path)
    found += [(group, _folder(group)) for group in group_runs(loose)]
    if not any(group.runs for group, _ in found):
        raise FileNotFoundError(f'{", ".join(map(str, paths))} holds no trained run such as '
                                f'{comparison.paths[0] / "plain" / "seed0"}. Run `make demo`, which trains them, or '
                                'python tools/train.py CONFIG.')
    _name(found)
    comparison.groups = [group for group, _ in found]
    baseline = comparison.baseline
    comparison.groups.sort(key=lambda group: group is not baseline)
    return comparison


def read_summary(folder: Path) -> Tuple[List[Found], Optional[float]]:
    """Groups of a folder as its summary lists them, and the best teacher's accuracy in percent.

    Raises:
        ValueError: If the summary is damaged.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text())
        groups = [(_summarised(entry, _seeds(folder / name, entry.get('seeds'))), (folder / name).absolute())
                  for name, entry in summary['methods'].items() if entry['accuracy']]
        return groups, max(map(float, summary.get('teachers', {}).values()), default=None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is not a summary of runs ({type(error).__name__}: {error}). Write it anew with '
                         f'python tools/analysis_tools/compare_runs.py {folder}, or `make demo`.') from error


def _summarised(entry: dict, runs: List[Run]) -> Group:
    """A group of a summary, which lists the accuracies of all seeds in their order, and may say which they are."""
    group, accuracies = Group('', runs, lr=entry.get('lr')), list(map(float, entry['accuracy']))
    seeds = [seed_of(group, run) for run in runs] if len(runs) == len(accuracies) else range(len(accuracies))
    group.accuracy = dict(zip(entry.get('seeds') or seeds, accuracies))
    return group


def _seeds(folder: Path, wanted: Optional[List[int]]) -> List[Run]:
    """Runs ``seed<k>`` with a checkpoint, in the order of their seeds; ``wanted`` are those of a summary that says."""
    paths = [path for path in folder.glob('seed*') if path.name[4:].isdigit() and any(path.glob('*.py'))
             and (wanted is None or int(path.name[4:]) in wanted)]
    return [run for run in map(Run.open, sorted(paths, key=lambda path: int(path.name[4:]))) if run.checkpoint]


def runs_of(path: Path) -> List[Run]:
    """Runs at or below a path that have a checkpoint, without those that only teach others of them.

    Raises:
        FileNotFoundError: If there is none.
    """
    runs = find_runs(str(path))
    teachers = [Path(osp.abspath(osp.expanduser(str(teacher.get('checkpoint'))))) for run in runs if run.distils
                for teacher in teacher_configs(run.config.model.teacher)]
    teachers = {teacher.parent if teacher.suffix == '.pth' else teacher for teacher in teachers}
    runs = [run for run in runs if len(runs) == 1 or run.folder.absolute() not in teachers]
    trained = [run for run in runs if run.checkpoint]
    if not trained:
        raise FileNotFoundError(f'{path} has a config but no checkpoint yet; train it with python tools/train.py '
                                f'{runs[0].config.filename} --work-dir {runs[0].folder}')
    return trained


def group_runs(runs: Sequence[Run]) -> List[Group]:
    """Group runs that differ in their seed alone, in the order of the first of each; they have no names yet."""
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


def _without_seed(run: Run) -> Dict[str, Any]:
    return {key: value for key, value in settings_of(run.config).items() if key != 'randomness'}


def _lr(run: Run) -> Optional[float]:
    return (run.config.get('optim_wrapper', {}).get('optimizer') or {}).get('lr')


def _name(found: List[Found]) -> None:
    """Name each group by the end of its folder that no other shares."""
    folders = [folder.parts for _, folder in found]
    for group, folder in found:
        lengths = [n for n in range(1, len(folder.parts))
                   if sum(other[-n:] == folder.parts[-n:] for other in folders) == 1]
        # Where two configs share a folder of seeds, the seeds' folders tell them apart.
        group.name = '/'.join(folder.parts[-lengths[0]:] if lengths else group.runs[0].folder.absolute().parts[-2:])


def _folder(group: Group) -> Path:
    """The path that names a group, without what only tells its seeds apart."""
    paths = [osp.abspath(run.folder) for run in group.runs]
    if len(paths) == 1:
        return Path(re.sub(r'/seed\d+$', '', paths[0]))
    return Path(re.sub(r'[-_./]?(seed|(?<=[-_./])s)?$', '', osp.commonprefix(paths)))
