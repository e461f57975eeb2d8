"""What a report measures with its networks."""
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Dict, List, Optional, Tuple, Union

from ..checkpoints.classes import check_classes
from ..evaluation import EarlyExit, calibrate_early_exit, early_exit
from ..evaluation.gradients import GradientShare, gradient_shares
from ..runs.folders import Run
from .answers import Answers, collect_answers
from .bench import Bench, Key, Missing, attempt, same_samples
from .groups import Group, seed_of
from .networks import Data, load_distiller, step_logits, teacher_logits

GRADIENT_BATCHES = 4
# Percentage points that early exit may lose where its threshold is chosen.
MAX_DROP = 0.5


@dataclass
class Tested:
    """Answers on a data set.

    Attributes:
        students: By run.
        teachers: By name of a group that distils, those of its teacher, if it knows the student's classes.
        data: By name of the group, what it was tested on.
    """

    students: Dict[Key, Answers] = field(default_factory=dict)
    teachers: Dict[str, Answers] = field(default_factory=dict)
    data: Dict[str, Data] = field(default_factory=dict)

    def of(self, group: Group) -> Dict[int, Answers]:
        """A group's answers by seed."""
        return {seed: answers for (name, seed), answers in self.students.items() if name == group.name}

    def teacher_of(self, group: Group) -> Optional[Answers]:
        """Answers of a group's teacher, else of the first that was asked about the same samples."""
        students = list(self.of(group).values())
        teachers = [self.teachers[group.name]] if group.name in self.teachers else list(self.teachers.values())
        return next((teacher for teacher in teachers if students and teacher.labels.equal(students[0].labels)), None)


def ask(bench: Bench, split: str) -> Tested:
    """Ask all students, and on the test data their teachers, about every sample.

    Runs with the same data loader share a pass over the data, groups with the same teacher its answers. Data that
    cannot be read are noted.

    Raises:
        ValueError: If there are no runs, or no data can be read.
    """
    tested = Tested()
    loaders = _by_loader(bench, split)
    if not loaders:
        raise ValueError('there is no run to ask.')
    failed = {', '.join(dict.fromkeys(group.name for group, _ in runs)): reason for runs in loaders
              if isinstance(reason := attempt(_ask_together, bench, split, runs, tested), Missing)}
    if len(failed) == len(loaders):
        raise ValueError(next(iter(failed.values())))
    bench.notes += [f'The {split} data of {names} cannot be used: {reason}' for names, reason in failed.items()]
    return tested


def _ask_together(bench: Bench, split: str, runs: List[Tuple[Group, Run]], tested: Tested) -> None:
    """Ask the networks of runs that read the same data, and keep their answers."""
    data = bench.data(runs[0][1], split)
    for group, run in runs:
        network = bench.students.get((group.name, seed_of(group, run)))
        check_classes(getattr(network, 'dataset_meta', None), dict(classes=data.classes or None), str(run.folder),
                      f'its {split} data')
    keys = [(group.name, seed_of(group, run)) for group, run in runs]
    students = {key: partial(step_logits, bench.students[key]) for key in keys if key in bench.students}
    distillers = {} if split != 'test' else {
        str(run.config.model.teacher): bench.distillers[group.name]
        for group, run in runs if getattr(bench.distillers.get(group.name), 'has_teacher', False)}
    teachers = {key: partial(teacher_logits, found) for key, found in distillers.items()}
    title = f'Asking {len(students) + len(teachers)} networks about the {split} data'
    answers = collect_answers({**students, **teachers}, bench.track(data.loader, title))
    tested.students.update({key: answers[key] for key in students})
    for (group, run), key in zip(runs, keys):
        tested.data[group.name] = data
        teacher, student = answers.get(str(run.config.model.get('teacher'))), answers.get(key)
        if teacher is not None and student is not None and student.classes_known == teacher.classes_known:
            tested.teachers[group.name] = teacher


def _by_loader(bench: Bench, split: str) -> List[List[Tuple[Group, Run]]]:
    """Runs that read the same data in the same way, together."""
    loaders: Dict[str, List[Tuple[Group, Run]]] = {}
    for group, run in bench.all_runs:
        loaders.setdefault(str(run.config.get(f'{split}_dataloader')), []).append((group, run))
    return list(loaders.values())


@dataclass
class Exit:
    """Early exit of one run on the test data.

    Attributes:
        calibrated: With the threshold chosen elsewhere.
        all_steps: Accuracy in percent of all steps, on the same samples.
    """

    calibrated: EarlyExit
    all_steps: float


@dataclass
class Exits:
    """Early exits, by group and seed, and what the thresholds were chosen on."""

    runs: Dict[str, Dict[int, Exit]]
    chosen_on: str


def calibrate(bench: Bench, tested: Tested) -> Exits:
    """Choose thresholds on validation data, where they lose little accuracy, and apply them to test data.

    Where a config validates on its test data, half of the samples take the place of each.
    """
    spiking = [(group, run) for group, run in bench.all_runs
               if (group.name, seed_of(group, run)) in tested.students
               and len(tested.students[group.name, seed_of(group, run)].logits) > 1]
    same = any(same_samples(run.config, run.config, 'val', 'test') for _, run in spiking)
    validated = None if same or not spiking else ask(bench, 'val')
    exits: Dict[str, Dict[int, Exit]] = {}
    for group, run in bench.track(spiking, 'Choosing thresholds of early exit'):
        key = (group.name, seed_of(group, run))
        if validated is not None and key not in validated.students:
            continue
        answers = tested.students[key]
        known, unknown = (_every_other(answers, 0), _every_other(answers, 1)) if same else (
            validated.students[key], answers)
        threshold = calibrate_early_exit(known.scores, known.labels, MAX_DROP).threshold
        calibrated = early_exit(unknown.scores, unknown.labels, threshold)
        exits.setdefault(group.name, {})[key[1]] = Exit(calibrated, unknown.accuracy)
    return Exits(exits, 'every other test sample, applied to those between' if same else 'the validation data')


def _every_other(answers: Answers, start: int) -> Answers:
    return Answers(answers.logits[:, start::2], answers.labels[start::2])


Shares = Dict[str, GradientShare]


def measure_gradients(bench: Bench) -> Dict[str, Union[List[Shares], Missing]]:
    """Gradients of the loss terms of all distillation runs on the first training batches, by group."""
    measured: Dict[str, Union[List[Shares], Missing]] = {}
    for group, run in bench.track([pair for pair in bench.all_runs if pair[1].distils], 'Gradients of the loss terms'):
        distiller = bench.distillers[group.name]
        shares = distiller if isinstance(distiller, Missing) else attempt(_gradients, bench, run)
        if isinstance(shares, Missing):
            if measured.setdefault(group.name, shares) is not shares:
                bench.notes.append(f'{run.folder} is left out of the gradients of the loss terms: {shares}')
        elif not isinstance(measured.setdefault(group.name, []), Missing):
            measured[group.name].append(shares)
    return measured


def _gradients(bench: Bench, run: Run) -> Shares:
    # Not the one of the other measurements: batch norms move in training mode.
    distiller = load_distiller(run, bench.device)
    return gradient_shares(distiller, islice(bench.data(run, 'train').loader, GRADIENT_BATCHES))
