"""What a report looks at sample by sample: spikes, features, mistakes, similarity, costs."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Union

from torch import nn

from ..models.distillers import Distiller
from ..visualization.recording import choose_layers
from .answers import Answers, lost_samples
from .bench import Bench, Missing, attempt, same_samples
from .costs import Costs, measure_costs
from .groups import Group
from .measure import Tested
from .networks import step_logits
from .samples import Example, TestBatch, picture, reads_bgr
from .similarity import Similarity, compare_features
from .traces import FeatureTrace, SpikeTrace, trace_features, trace_spikes

# Images on which spikes and features are shown.
IMAGES = 3
EXAMPLES = 8
# Samples on which features are compared, and on which operations are counted one by one.
COMPARED, COUNTED = 512, 64


@dataclass
class Inside:
    """What networks do on a few test images.

    Attributes:
        batch: The test images.
        chosen: Indices of those for which spikes are shown.
        spikes: By name of the group, for its first seed.
        features: Of a blurred distillation, for the first images of the batch; ``None`` where there is no such run.
    """

    batch: TestBatch
    chosen: List[int]
    spikes: Dict[str, SpikeTrace]
    features: Union[FeatureTrace, Missing, None]


def look_inside(bench: Bench) -> Inside:
    """Record spikes of the shown students, and features of a blurred distillation."""
    focus = bench.comparison.focus
    batch = TestBatch.of(focus.runs[0], bench.data(focus.runs[0], 'test'))
    networks = {name: network for name, network in _comparable(bench, focus).items() if choose_layers(network)}
    chosen = _choose([step_logits(network, batch.batch).mean(0).argmax(-1).tolist() for network in networks.values()])
    spikes = {name: trace_spikes(network, batch.batch, chosen) for name, network in networks.items()}
    return Inside(batch, chosen, spikes, _features(bench, focus, batch))


def _comparable(bench: Bench, focus: Group) -> Dict[str, nn.Module]:
    """First students of the shown groups that are tested on the same samples as the group ``focus``."""
    networks = {group.name: bench.first(group) for group in bench.comparison.shown
                if same_samples(group.runs[0].config, focus.runs[0].config)}
    return {name: network for name, network in networks.items() if network is not None}


def _choose(predictions: List[List[int]]) -> List[int]:
    """The first images of a batch and, of two networks, the first image on which they disagree."""
    if not predictions:
        return []
    chosen = list(range(min(IMAGES, len(predictions[0]))))
    differing = [i for i, (a, b) in enumerate(zip(predictions[0], predictions[-1])) if a != b]
    return chosen + [i for i in differing[:1] if i not in chosen]


def _features(bench: Bench, focus: Group, batch: TestBatch) -> Union[FeatureTrace, Missing, None]:
    distiller = bench.distillers.get(focus.name)
    if distiller is None or isinstance(distiller, Missing):
        return distiller
    return attempt(trace_features, distiller, batch.batch, list(range(min(IMAGES, len(batch.labels)))))


def choose_examples(bench: Bench, tested: Tested) -> Optional[List[Example]]:
    """Samples that the focused student gets wrong and its teacher right; ``None`` where there is no teacher.

    Raises:
        ValueError: If the teacher cannot be built, or names other classes.
    """
    focus = bench.comparison.focus
    _, distiller = bench.teacher_of(focus)
    if distiller is None:
        return None
    teacher = tested.teacher_of(focus)
    if teacher is None:
        raise ValueError(distiller if isinstance(distiller, Missing) else
                         f'the teacher of {focus.name} names other classes than the student, so their answers do not '
                         'compare.')
    shown = [focus] + [group for group in bench.comparison.shown if group is not focus]
    answers = {group.name: _first_answers(tested, group) for group in shown}
    answers = {name: found for name, found in answers.items() if found and found.labels.equal(teacher.labels)}
    answers['teacher'], student = teacher, answers[focus.name]
    data, bgr = tested.data[focus.name], reads_bgr(focus.runs[0])
    return [Example(
        data.indices[i], picture(data.loader.dataset[i]['inputs'], bgr), data.name_of(int(student.labels[i])),
        {name: (data.name_of(int(found.classes[i])), float(found.confidence[i])) for name, found in answers.items()})
        for i in lost_samples(student, teacher, EXAMPLES)]


def _first_answers(tested: Tested, group: Group) -> Optional[Answers]:
    return next(iter(tested.of(group).values()), None)


def compare_all(bench: Bench) -> Dict[str, Union[Similarity, Missing]]:
    """Similarity of the drawn groups' first students to the teacher; groups without one are left out."""
    found = {}
    for group in bench.track(bench.comparison.drawn, 'Comparing features with the teacher'):
        source, distiller = bench.teacher_of(group)
        student = bench.first(group)
        if isinstance(distiller, Distiller) and student is not None:
            found[group.name] = attempt(_compare, bench, source, student, distiller)
        elif isinstance(distiller, Missing):
            found[group.name] = distiller
    return found


def _compare(bench: Bench, source: Group, student: nn.Module, distiller: Distiller) -> Similarity:
    return compare_features(student, distiller, bench.data(source.runs[0], 'test', COMPARED).loader)


def costs_of(bench: Bench) -> Costs:
    """Firing rates and energy of the drawn groups' first students, and of the teacher."""
    focus = bench.comparison.focus
    source, distiller = bench.teacher_of(focus)
    distiller = distiller if isinstance(distiller, Distiller) else None
    run = (source if distiller is not None else focus).runs[0]
    networks = {group.name: bench.first(group) for group in bench.comparison.drawn
                if same_samples(group.runs[0].config, run.config)}
    networks = {name: network for name, network in networks.items() if network is not None}
    return measure_costs(networks, distiller, bench.data(run, 'test', COUNTED).loader, bench.track)
