"""The report: what is gathered for it, and its page."""
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Union

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..config.data import datasets_in
from ..utils.atomic import write_atomically
from .bench import Bench, Missing, attempt, default_device, reproducible, same_samples
from .costs import Costs
from .gather import Inside, choose_examples, compare_all, costs_of, look_inside
from .groups import Comparison
from .measure import Exits, Shares, Tested, ask, calibrate, measure_gradients
from .picture import draw_picture
from .pieces import listing, missing
from .reading import read_comparison
from .samples import Example
from .sections import costs, gradients, inside, learning, mistakes, over_time, results, settings, similarity
from .similarity import Similarity

TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True,
                        undefined=StrictUndefined)
# Beyond this many points, a summary's accuracies are not those of the checkpoints.
TOLERANCE = 0.5
# More names make no title.
MANY = 3


@dataclass
class Report:
    """Everything that is shown. What could not be measured is :class:`Missing`; what does not apply is ``None``.

    Attributes:
        comparison: Accuracies and logs.
        notes: What the reader should know before believing the rest.
        tested: Answers of all networks on the test data.
        exits: Early exits.
        gradients: Of the loss terms, by group.
        costs: Firing rates and energy.
        similarities: Of features to the teacher's, by group.
        examples: Samples that the student gets wrong and the teacher right.
        inside: Spikes and features on a few images.
    """

    comparison: Comparison
    notes: List[str]
    tested: Union[Tested, Missing]
    exits: Union[Exits, Missing, None]
    gradients: Union[Dict[str, Union[List[Shares], Missing]], Missing]
    costs: Union[Costs, Missing]
    similarities: Union[Dict[str, Union[Similarity, Missing]], Missing]
    examples: Union[List[Example], Missing, None]
    inside: Union[Inside, Missing]

    @classmethod
    def gather(cls, *paths: str, samples: int = 10000, device: Optional[str] = None,
               show_progress: bool = False) -> 'Report':
        """Open runs, read their logs, and try their networks on their data.

        Args:
            paths: As in :func:`read_comparison`.
            samples: Of each data set, evenly spread ones up to this number are used.
            device: Where networks run; ``None`` takes a GPU where there is one.
            show_progress: Whether to print progress to the terminal.

        Raises:
            FileNotFoundError: If a path holds no trained run; the message names the command that makes one.
            ValueError: If a ``summary.json`` is damaged, or ``samples`` is not positive.
        """
        if samples < 1:
            raise ValueError(f'samples={samples} must be at least 1.')
        comparison = read_comparison(paths)
        bench = Bench(comparison, samples, device or default_device(), show_progress)
        with reproducible():
            bench.load()
            tested = attempt(ask, bench, 'test')
            known = isinstance(tested, Tested)
            if known:
                take_accuracies(bench, tested)
            # These may add to the bench's notes.
            measured = dict(
                exits=attempt(calibrate, bench, tested) if known else None,
                gradients=attempt(measure_gradients, bench), costs=attempt(costs_of, bench),
                similarities=attempt(compare_all, bench),
                examples=attempt(choose_examples, bench, tested) if known else None,
                inside=attempt(look_inside, bench))
            return cls(comparison, bench.notes + _differing_data(comparison), tested, **measured)

    def page(self) -> str:
        """The page as HTML."""
        looked = self.inside
        parts = [results.headline(self.comparison, self.notes), results.accuracy(self.comparison),
                 settings.settings(self.comparison), learning.learning(self.comparison),
                 learning.loss_terms(self.comparison), gradients.gradients(self.gradients),
                 over_time.over_time(self.comparison, self.tested, self.exits), costs.costs(self.costs),
                 mistakes.confusion(self.comparison, self.tested),
                 mistakes.lost(self.comparison, self.tested, self.examples), similarity.similarity(self.similarities)]
        if isinstance(looked, Missing):
            parts.append(missing('spikes', 'Spikes over time', looked))
        else:
            parts += [inside.spikes(looked.batch, looked.chosen, looked.spikes),
                      inside.features(looked.batch, looked.features)]
        return TEMPLATES.get_template('page.html').render(title=self.title, subtitle=self.subtitle,
                                                          sections=list(filter(None, parts)))

    @property
    def title(self) -> Markup:
        """Of the page."""
        names = [group.name for group in self.comparison.groups]
        if len(names) > MANY:
            return Markup(f'Comparison of {len(names)} trainings')
        return Markup(f'{"Report on" if len(names) == 1 else "Comparison of"} {listing(names)}')

    @property
    def subtitle(self) -> str:
        """Data, sizes and paths in one line."""
        run = self.comparison.focus.runs[0]
        epochs = run.config.train_cfg.get('max_epochs')
        length = f'{epochs} epochs. ' if epochs else ''
        paths = ', '.join(map(str, self.comparison.paths))
        kinds = dict.fromkeys(str(inner.type) for inner in datasets_in(run.config.test_dataloader.dataset))
        return f'Data: {", ".join(kinds)}. {length}Runs: {paths}.'


def take_accuracies(bench: Bench, tested: Tested) -> None:
    """Complete the accuracies by those measured, and note where they contradict a summary."""
    comparison = bench.comparison
    for group in comparison.groups:
        measured = {seed: answers.accuracy for seed, answers in tested.of(group).items()}
        data = tested.data.get(group.name, ())
        total = len(bench.whole(group.runs[0], 'test')) if data else 0
        if measured and not group.accuracy:
            group.accuracy = measured
            if len(data) < total:
                bench.notes.append(f'The accuracy of {group.name} is measured on {len(data):,} of '
                                   f'{total:,} test samples, evenly spread.')
        elif measured and measured.keys() == group.accuracy.keys() and len(data) == total:
            mean = sum(measured.values()) / len(measured)
            if abs(mean - group.mean) > TOLERANCE:
                bench.notes.append(f'The summary says {group.mean:.2f} % for {group.name}, but its checkpoints reach '
                                   f'{mean:.2f} %. Bring it up to date with tools/analysis_tools/compare_runs.py.')
    teacher = tested.teacher_of(comparison.focus)
    if comparison.teacher is None and teacher is not None:
        comparison.teacher = teacher.accuracy


def _differing_data(comparison: Comparison) -> List[str]:
    first = comparison.focus
    others = [group.name for group in comparison.groups
              if group.runs and not same_samples(group.runs[0].config, first.runs[0].config)]
    return [f'{", ".join(others)}: tested on other data than {first.name} (see the settings), so their accuracies do '
            'not compare.'] if others else []


def write_report(*paths: str, out: Optional[str] = None, picture: Optional[str] = None, **options) -> Path:
    """Write the page on runs.

    Args:
        paths: Work directories of runs; folders above some; or folders with a ``summary.json``.
        out: Path of the page; by default ``report.html`` in the folder, or here for several.
        picture: Path of a PNG with the main figures; ``None`` writes none.
        **options: Of :meth:`Report.gather`.

    Returns:
        Path of the page.
    """
    report = Report.gather(*paths, **options)
    path = Path(out) if out else Path(paths[0] if len(paths) == 1 else '.') / 'report.html'
    path.parent.mkdir(parents=True, exist_ok=True)
    page = report.page().encode()
    write_atomically(path, lambda file: file.write(page))
    if picture:
        Path(picture).parent.mkdir(parents=True, exist_ok=True)
        draw_picture(report.comparison, report.inside).savefig(picture)
    return path
