"""What the page shows of a prediction, as HTML; see :mod:`.plots` for what changes with the time step."""
from html import escape
from typing import Dict, List, Optional, Sequence

from torch import Tensor

from ..evaluation.energy import ASSUMPTIONS
from ..visualization.figures import COLOURS
from .playground import STUDENTS, Playground
from .plots import each, spike_picture, sprite
from .watching import Watched

TITLES = dict(plain='Plain student', mixed='Distilled student', teacher='Teacher')
# Okabe and Ito's green, which no student has.
TEACHER = '#009E73'
LESSONS = dict(plain='taught by labels', mixed='taught by labels and teacher')
WITHOUT_SPIKES = ('A student without spikes is what the same layers would need if they multiplied, in one step. The '
                  'teacher has more channels or sees more steps.')


def result(watched: Dict[str, Watched], classes: Sequence[str], label: Optional[int], frames: str = '') -> str:
    """The player over both students, then the energy of all three networks.

    Args:
        watched: ``plain``, ``mixed`` and ``teacher`` on one sample.
        classes: Names by index.
        label: The right one, where it is known.
        frames: HTML of what the students see over time.
    """
    students = ''.join(student(name, watched[name], classes, label) for name in STUDENTS)
    steps = watched[STUDENTS[0]].time_steps
    return (f'<div class="player" data-steps="{steps}">{controls(steps)}{frames}<div class="students">{students}</div>'
            f'</div>{energies(watched, classes, label)}')


def controls(steps: int) -> str:
    """Button and slider."""
    texts = each('texts', [f'Step {step} of {steps}' for step in range(1, steps + 1)])
    return ('<div class="controls"><button type="button" class="run" aria-label="Play">▶</button>'
            f'<input type="range" min="1" max="{steps}" value="{steps}" aria-label="Time step">'
            f'<output class="time"{texts}></output></div>')


# ---- a student ----


def student(name: str, watched: Watched, classes: Sequence[str], label: Optional[int]) -> str:
    """Answer, spikes of each stage, and class probabilities."""
    colour = COLOURS[name]
    stages = ''.join(stage(path, spikes, colour) for path, spikes in watched.stages.items())
    return (f'<section class="student" style="--colour:{colour}"><h3>{TITLES[name]}</h3><p class="soft">{LESSONS[name]}'
            f'</p>{answer(watched, classes, label)}<div class="stages">{stages}</div>{scores(watched.scores, classes)}'
            f'{spikes_so_far(watched)}</section>')


def answer(watched: Watched, classes: Sequence[str], label: Optional[int]) -> str:
    """The likeliest class so far, how likely it is, and when the answer settled."""
    names = [classes[index] for index in watched.answers]
    sure = [percent(score) for score in watched.scores.amax(-1).tolist()]
    marks = [mark(index, label) for index in watched.answers]
    return (f'<p class="answer"><b{each("texts", names)}></b> <span{each("texts", sure)}></span> '
            f'<span{each("texts", marks)}></span></p><p class="soft">{escape(settling(watched, classes))}</p>')


def settling(watched: Watched, classes: Sequence[str]) -> str:
    """In words, when the last answer was found."""
    if watched.settled == 1:
        return 'says so from the first step on' if watched.time_steps > 1 else 'says so after the only step'
    before = classes[watched.answers[watched.settled - 2]]
    return f'settles in step {watched.settled} of {watched.time_steps}, after {before}'


def stage(name: str, spikes: Tensor, colour: str) -> str:
    """Spikes (T, C, H, W) of one stage: a square for each channel, and the share of neurons that spike."""
    shares = [percent(share) or '0 %' for share in spikes.flatten(1).mean(1).tolist()]
    channels, height, width = spikes.shape[1:]
    alt = f'Spikes of {name}: {channels} channels of {height}x{width} neurons'
    return (f'<figure class="stage">{sprite([spike_picture(step, colour) for step in spikes], alt)}<figcaption>'
            f'{escape(name)} <span{each("texts", shares)}></span></figcaption></figure>')


def scores(scores: Tensor, classes: Sequence[str]) -> str:
    """A row for each class: its probability so far as a bar, and that after every step as a strip."""
    leaders = scores.argmax(-1).tolist()
    rows = ''.join(score_row(name, scores[:, k].tolist(), [index == k for index in leaders])
                   for k, name in enumerate(classes))
    return ('<table class="scores"><thead><tr><th scope="col">class</th><th scope="col">so far</th>'
            f'<th scope="col">after each step</th></tr></thead><tbody>{rows}</tbody></table>')


def score_row(name: str, values: List[float], leads: List[bool]) -> str:
    """One class, with its probability after each step and whether it is then the likeliest."""
    strip = ''.join(f'<i data-step="{step}" style="--share:{value:.3f}" title="step {step}: {100 * value:.0f} %"></i>'
                    for step, value in enumerate(values, 1))
    return (f'<tr{each("flags", leads)}><th scope="row">{escape(name)}</th><td><span class="cell"><span class="bar"'
            f'{each("shares", [round(value, 4) for value in values])}></span>'
            f'<span{each("texts", [percent(value) for value in values])}></span></span></td>'
            f'<td><span class="strip">{strip}</span></td></tr>')


def spikes_so_far(watched: Watched) -> str:
    """How many spikes all neurons have sent."""
    totals = each('texts', [f'{int(total):,}' for total in watched.spikes.cumsum(0).tolist()])
    return f'<p class="soft"><b{totals}></b> spikes so far, of {watched.neurons:,} neurons</p>'


# ---- energy ----


def energies(watched: Dict[str, Watched], classes: Sequence[str], label: Optional[int]) -> str:
    """Bars of the energy of this prediction, and how it is computed."""
    teacher = watched['teacher']
    kind = f'spiking, {steps_of(teacher)}' if teacher.neurons else 'ANN'
    bars = [(f'Teacher ({kind})', teacher.energy, TEACHER),
            ('Student without spikes', watched['plain'].energy_as_ann, COLOURS['wsld'])]
    bars += [(f'{TITLES[name]}, {steps_of(watched[name])}', watched[name].energy, COLOURS[name]) for name in STUDENTS]
    most = max(energy for _, energy, _ in bars)
    rows = ''.join(
        f'<tr><th scope="row">{title}</th><td><span class="bar" style="--share:{energy / most:.4f};--colour:{colour}">'
        f'</span></td><td class="value">{joule(energy)}</td>'
        f'<td class="soft">{compared(energy, teacher.energy)}</td></tr>' for title, energy, colour in bars)
    rules = ''.join(f'<li>{escape(rule)}</li>' for rule in (*ASSUMPTIONS, WITHOUT_SPIKES))
    return (f'<section class="energy"><h3>Energy of this prediction</h3><p class="soft">The teacher says '
            f'<b>{escape(classes[teacher.answer])}</b> ({percent(float(teacher.scores[-1].max()))}) '
            f'{mark(teacher.answer, label)}</p><table class="scores"><tbody>{rows}</tbody></table>'
            f'<details><summary>How this is computed</summary><ul>{rules}</ul></details></section>')


def joule(energy: float) -> str:
    """With a unit in which it is a handy number."""
    scale, unit = next(((scale, unit) for scale, unit in ((1e-3, 'mJ'), (1e-6, 'µJ')) if energy >= scale), (1e-9, 'nJ'))
    return f'{energy / scale:.3g} {unit}'


def compared(energy: float, teacher: float) -> str:
    """Against the teacher's energy, in words."""
    if energy == teacher:
        return ''
    return f'{teacher / energy:.3g} times less' if energy < teacher else f'{energy / teacher:.3g} times more'


# ---- words ----


def mark(index: int, label: Optional[int]) -> str:
    """Whether an answer is right, where that is known."""
    return '' if label is None else '✓' if index == label else '✗'


def steps_of(watched: Watched) -> str:
    """Number of steps in words."""
    return '1 step' if watched.time_steps == 1 else f'{watched.time_steps} steps'


def percent(share: float) -> str:
    """Whole percents, but never 100 for what is not quite, and nothing for next to nothing."""
    text = f'{100 * share:.0f}'
    return '> 99 %' if text == '100' and share < 1 else '' if text == '0' else f'{text} %'


def record(playground: Playground) -> str:
    """How often the networks are right on the test data."""
    right = ', '.join(f'{TITLES[name].lower()} {accuracy:.1f} %' for name, accuracy in playground.accuracy.items())
    return (f'<p class="soft">Right on the {len(playground.labels)} test samples with T={playground.trained_steps}: '
            f'{right}. The students disagree on {len(playground.disputed)} of them.</p>')


def caption(text: str, picture: str = '') -> str:
    """What is said of a sample, beside a picture of it."""
    return f'<figure class="sample">{picture}<figcaption>{escape(text)}</figcaption></figure>'


def notice(message: str) -> str:
    """A message in place of a result."""
    return f'<p class="notice" role="status">{escape(message)}</p>'
