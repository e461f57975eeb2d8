"""The search for each method's point: what to try next, what was chosen, and its record in Optuna's form."""
import statistics
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ..utils.optional import require
from .grid import Place, Scores, best_place, next_places, on_edge
from .ledger import Key
from .plan import FIRST_TUNING_SEED, Entry, Plan, Task

Lines = Dict[Key, dict]
# The grid ends nowhere, but Optuna wants to know where.
FAR = 1e6


@dataclass(frozen=True)
class Choice:
    """What the search has found.

    Attributes:
        point: Values by config key.
        accuracy: Mean accuracy on the validation split in percent, over all seeds; ``None`` without a search.
        points: How many points were tried.
        on_edge: Whether nothing beyond the point was tried along one of the axes, for want of points.
    """

    point: Dict[str, float]
    accuracy: Optional[float] = None
    points: int = 0
    on_edge: bool = False


class Tuning:
    """The search for one method's point, as far as it is: a grid, and then more seeds for the best of its points.

    Args:
        plan: The comparison.
        entry: The method.
    """

    def __init__(self, plan: Plan, entry: Entry) -> None:
        self.plan, self.entry, self.searched = plan, entry, entry.searched or entry
        self.points = plan.points if self.searched.axes else 0
        self.scores: Scores = {}
        self.finals: Scores = {}
        self.reasons: List[str] = []
        self.places: List[Place] = []
        self._read()

    def open_tasks(self, lines: Lines) -> List[Task]:
        """What is to be trained for the search now; empty when it has ended."""
        self.update(lines)
        return [task for place in self.places for task in self._tasks(place) if task.key not in lines] + [
            task for place in self.finalists for task in self._tasks(place, final=True) if task.key not in lines]

    def all_tasks(self, lines: Lines) -> List[Task]:
        """All runs of the search so far, those to be trained now included."""
        self.update(lines)
        return [task for place in (*self.scores, *self.places) for task in self._tasks(place)] + [
            task for place in (*self.finals, *self.finalists) for task in self._tasks(place, final=True)]

    def update(self, lines: Lines) -> None:
        """Take over results."""
        while self.places:
            found = [[lines.get(task.key) for task in self._tasks(place)] for place in self.places]
            if not all(map(all, found)):
                return
            for place, results in zip(self.places, found):
                self.scores[place] = self._score(results)
            self._read()
        while found := {place: results for place in self.finalists if all(results := [
                lines.get(task.key) for task in self._tasks(place) + self._tasks(place, final=True)])}:
            self.finals.update({place: self._score(results) for place, results in found.items()})

    def _score(self, results: List[dict]) -> Optional[float]:
        """Mean accuracy of finished runs; ``None`` if one has failed."""
        failed = [line['reason'] for line in results if line['status'] == 'failed']
        self.reasons += failed
        return None if failed else statistics.mean(line['accuracy'] for line in results)

    def _read(self) -> None:
        self.places = next_places(len(self.searched.axes), self.points, self.scores)

    @property
    def finalists(self) -> List[Place]:
        """Once the grid has ended, its best points that are still to get more seeds; the next if all those failed."""
        scored = {place: score for place, score in self.scores.items() if score is not None}
        ranked, number = sorted(scored, key=scored.get, reverse=True), self.plan.finalists
        if self.places or not number:
            return []
        for first in range(0, len(ranked), number):
            best = ranked[first:first + number]
            missing = [place for place in best if place not in self.finals]
            if missing or any(self.finals[place] is not None for place in best):
                return missing
        return []

    def _tasks(self, place: Place, final: bool = False) -> List[Task]:
        """The runs of a point in the grid, or those that a finalist has beyond."""
        point, first = self.searched.point(place), FIRST_TUNING_SEED
        if final:
            first += self.plan.tune_seeds
        seeds = self.plan.final_seeds if final else self.plan.tune_seeds
        return [self.searched.run(point, first + seed, 'val') for seed in range(seeds)]

    def total(self) -> int:
        """How many runs the search has, as far as is known."""
        finalists = min(self.points, self.plan.finalists) if self.places else len(self.finals) + len(self.finalists)
        return self.points * self.plan.tune_seeds + finalists * self.plan.final_seeds

    @property
    def ended(self) -> bool:
        """Whether all points have been tried, and the best of them again."""
        return not self.places and not self.finalists

    @property
    def choice(self) -> Optional[Choice]:
        """The best point, once the search has ended; ``None`` before, and if all points have failed."""
        if not self.ended:
            return None
        if not self.scores:
            return Choice({axis.key: axis.start for axis in self.searched.axes})
        scores = self.finals or self.scores
        best = best_place(scores)
        if best is None:
            return None
        return Choice(self.searched.point(best), scores[best], len(self.scores), on_edge(best, self.scores))

    def record(self, storage: str) -> None:
        """Write the points that were tried into an Optuna study, for its plots and dashboard.

        Those there stay, unless a score has changed, by more seeds or another try: then the study is written anew.
        """
        optuna = require('optuna', 'optuna', 'the search')
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        start = self.searched.run({axis.key: axis.start for axis in self.searched.axes}, 0, 'val')
        finals = f'-{self.plan.finalists}finalists-{self.plan.final_seeds}seeds' * bool(self.plan.finalists)
        name = f'{self.searched.name}-{start.key[0]}-{self.plan.tune_seeds}seeds{finals}'
        scores = {**self.scores, **self.finals}

        def open_study() -> Tuple['optuna.Study', Scores]:
            study = optuna.create_study(storage=storage, direction='maximize', load_if_exists=True, study_name=name)
            return study, {tuple(trial.user_attrs['place']): trial.value for trial in study.get_trials(deepcopy=False)}

        study, known = open_study()
        if any(known[place] != scores.get(place, known[place]) for place in known):
            optuna.delete_study(study_name=name, storage=storage)
            study, known = open_study()
        state = optuna.trial.TrialState
        for place, score in scores.items():
            if place in known:
                continue
            point = self.searched.point(place)
            study.add_trial(optuna.trial.create_trial(
                state=state.FAIL if score is None else state.COMPLETE, value=score, params=point,
                distributions={axis.key: optuna.distributions.FloatDistribution(axis.start / FAR, axis.start * FAR,
                                                                                 log=True)
                               for axis in self.searched.axes},
                user_attrs=dict(place=place)))
