"""The sections of the report's page, each as HTML; an empty string where there is nothing to show."""
from html import escape
from typing import Dict, List, Optional

import numpy as np
from torch import Tensor

from .figures import (
    CHANNELS,
    SILENCE,
    SPIKE,
    ZEROED,
    accuracy_limits,
    classification_curves,
    data_uri,
    draw_accuracy,
    draw_curves,
    draw_loss_terms,
    feature_mosaic,
    feature_range,
    picture_of,
    spike_mosaic,
    svg,
    val_curves,
)
from .probes import FeatureTrace, SpikeTrace, TestBatch
from .report_data import BASELINE, Comparison, Method, verdict

MEANING = dict(plain='labels only', kd="labels and the teacher's softened outputs",
               wsld="labels and the teacher's outputs, weighted by sample",
               bkd='labels and blurred feature distillation',
               mixed='labels, weighted outputs and blurred feature distillation')
MAX_STEPS = 4


def section(name: str, title: str, lead: str, body: str) -> str:
    """A section with its heading and one sentence on how to read it."""
    return f'<section id="{name}">\n<h2>{title}</h2>\n<p>{lead}</p>\n{body}\n</section>'


def figure(image: str, caption: str) -> str:
    """An image or chart over its caption."""
    return f'<figure>{image}<figcaption>{caption}</figcaption></figure>'


def img(image: np.ndarray, alt: str) -> str:
    """An RGBA image (H, W, 4) inside the page."""
    height, width = image.shape[:2]
    return f'<img src="{data_uri(image)}" width="{width}" height="{height}" alt="{escape(alt)}">'


# ---- numbers ----


def headline(comparison: Comparison) -> str:
    """The table, and what it says in words."""
    plain, main = comparison.plain, comparison.main or comparison.plain
    sentences = {name: verdict(method, comparison.gain(name)) for name, method in comparison.methods.items()}
    sentences[plain.name] = f'{plain.name} reaches {plain.mean:.2f} % on average.'
    words = [f'<p class="headline">{escape(sentences[main.name])}</p>']
    words += [f'<p>{escape(sentence)}</p>' for name, sentence in sentences.items() if name not in (main.name, BASELINE)]
    if comparison.teacher is not None:
        gap = main.mean - comparison.teacher
        words.append(f'<p>The teacher reaches {comparison.teacher:.2f} %; {escape(main.name)} is {abs(gap):.2f} points '
                     f'{"below" if gap < 0 else "above"} it.</p>')
    if len(sentences) > 1:
        words.append('<p class="soft">The interval is that of the mean difference between runs with the same seed. It '
                     'covers the chance in training, not that of which images are in the test set.</p>')
    return section('results', 'What came out',
                   'Share of test images classified correctly: higher is better, and a gain counts only if it is large '
                   'against its standard error.',
                   words[0] + _table(comparison) + ''.join(words[1:]) + _seeds(comparison))


def _table(comparison: Comparison) -> str:
    rows = ''.join(_row(comparison, method) for method in comparison.methods.values())
    if comparison.teacher is not None:
        rows += f'<tr><th scope="row">teacher</th><td>{comparison.teacher:.2f}</td><td>–</td><td>–</td><td>–</td></tr>'
    heads = ''.join(f'<th scope="col">{head}</th>' for head in
                    ('Method', 'Accuracy, %', f'Gain over {BASELINE}, points', 'Seeds ahead', 'Learning rate'))
    return ('<table class="results"><caption>Accuracy: mean ± standard deviation over seeds. Gain: mean of the '
            f'differences seed by seed ± its standard error.</caption><thead><tr>{heads}</tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def _row(comparison: Comparison, method: Method) -> str:
    cells = [_plus_minus(f'{method.mean:.2f}', method.std), '–', '–', '–' if method.lr is None else f'{method.lr:g}']
    if method.name != BASELINE:
        gain = comparison.gain(method.name)
        cells[1] = _plus_minus(f'{gain.mean:+.2f}', gain.error)
        cells[2] = f'{gain.wins} of {len(gain.differences)}'
    return f'<tr><th scope="row">{escape(method.name)}</th>' + ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>'


def _plus_minus(value: str, spread: Optional[float]) -> str:
    return value if spread is None else f'{value} ± {spread:.2f}'


def _seeds(comparison: Comparison) -> str:
    """Accuracies of all seeds and what the names mean, folded away."""
    rows = ''.join(f'<p><b>{escape(method.name)}</b> ({MEANING.get(method.name, "see its config")}): '
                   f'{", ".join(f"{accuracy:.2f}" for accuracy in method.accuracy)}</p>'
                   for method in comparison.methods.values())
    return f'<details><summary>What the methods learn from, and every seed\'s accuracy in %</summary>{rows}</details>'


# ---- charts ----


def accuracy(comparison: Comparison) -> str:
    """Bars with dots."""
    low, _ = accuracy_limits(comparison)
    chart = svg(lambda ax: draw_accuracy(ax, comparison), 'accuracy',
                'Bar chart of mean test accuracy by method, a circle per seed; the numbers are in the table above.')
    caption = f'The axis starts at {low} %, so the bars overstate the differences.' if low else ''
    return section('accuracy', 'Test accuracy',
                   'A bar is the mean over seeds and each circle one seed; the dashed line is the teacher.',
                   f'<div class="charts">{figure(chart, caption)}</div>')


def learning(comparison: Comparison) -> str:
    """Curves of validation accuracy and training loss."""
    charts = []
    shown = comparison.shown
    names = escape(' and '.join(method.name for method in shown))
    for curves, name, ylabel, markers, caption in (
            (val_curves(shown), 'validation', 'validation accuracy (%)', True,
             'Accuracy on the validation images, which are not trained on.'),
            (classification_curves(shown), 'training', 'cross-entropy', False,
             'Cross-entropy on the training images, the part of the loss that all methods share.')):
        if curves:
            alt = f'Line chart of {ylabel} over epochs for {names}. ' + _ends(curves)
            chart = svg(lambda ax, c=curves, y=ylabel, m=markers: draw_curves(ax, c, y, m), name, alt)
            charts.append(figure(chart, caption))
    if not charts:
        return ''
    return section('learning', 'Learning curves',
                   f'How {names} learn: a line is the mean over seeds, the band one standard deviation to each side.',
                   f'<div class="charts">{"".join(charts)}</div>')


def loss_terms(comparison: Comparison) -> str:
    """Curves of the distilled run's losses."""
    terms = comparison.main.loss_terms() if comparison.main else {}
    if len(terms) < 2:
        return ''
    name = escape(comparison.main.name)
    alt = f'Line chart of the loss terms of {name} over epochs, log scale. ' + _ends(terms)
    chart = figure(svg(lambda ax: draw_loss_terms(ax, terms), 'terms', alt),
                   "loss_cls: labels. loss_bkd: restored features against the teacher's. loss_wsld: outputs against "
                   "the teacher's.")
    return section('losses', f'What {name} minimises',
                   'Each line is one term of the training loss with its weight, mean over seeds; a falling one is '
                   'being learned. Terms against soft labels end above zero, at the entropy of the teacher.',
                   f'<div class="charts">{chart}</div>')


def _ends(curves: dict) -> str:
    return ' '.join(f'{escape(name)} goes from {curve.mean[0]:.3g} to {curve.mean[-1]:.3g}.'
                    for name, curve in curves.items())


# ---- test images ----


def spikes(batch: TestBatch, chosen: List[int], traces: Dict[str, SpikeTrace]) -> str:
    """Spikes over time on test images, the networks side by side."""
    cards = []
    for position, index in enumerate(chosen):
        label = escape(batch.classes[int(batch.labels[index])])
        tables = ''.join(_steps(name, trace, position, int(batch.labels[index]), batch.classes)
                         for name, trace in traces.items())
        verdicts = {int(trace.scores[-1, position].argmax()) for trace in traces.values()}
        note = ' – here the networks disagree' if len(verdicts) > 1 else ''
        cards.append(f'<article class="card"><h3>Test image {index + 1}: class {label}{note}</h3><div class="trace">'
                     f'{img(picture_of(batch.images[index]), f"Input image of class {label}")}'
                     f'<div class="nets">{tables}</div></div></article>')
    keys = ' '.join(f'<span class="key" style="background:rgb{colour[:3]}"></span> {meaning}'
                    for colour, meaning in ((SPIKE, 'spike'), (SILENCE, 'no spike')))
    return section('spikes', 'Spikes over time',
                   'Each small square is one channel of a layer at one time step, with the share of neurons that spike '
                   'below it; the last row is the class predicted from the steps so far.',
                   f'<p class="soft">{keys}. The images are the first of the test data and the first on which the '
                   f'networks disagree, if any; the networks are those of the first seed.</p>{"".join(cards)}')


def _steps(name: str, trace: SpikeTrace, position: int, label: int, classes: List[str]) -> str:
    """Table of a network on one image: layers by time steps."""
    total = len(trace.scores)
    steps = np.unique(np.linspace(0, total - 1, min(total, MAX_STEPS)).round().astype(int)).tolist()
    head = ''.join(f'<th scope="col">step {step + 1}</th>' for step in steps)
    rows = []
    for layer, spiking in trace.spikes.items():
        cells = ''.join(f'<td>{_spike_cell(spiking[step, position], f"{name}, {layer}, step {step + 1}")}</td>'
                        for step in steps)
        rows.append(f'<tr><th scope="row">{escape(layer)}</th>{cells}</tr>')
    answers = ''.join(f'<td>{_answer(trace.scores[step, position], label, classes)}</td>' for step in steps)
    return (f'<table class="steps"><caption>{escape(name)}</caption><thead><tr><td></td>{head}</tr></thead><tbody>'
            f'{"".join(rows)}<tr><th scope="row">says</th>{answers}</tr></tbody></table>')


def _spike_cell(spiking: Tensor, what: str) -> str:
    share = f'{100 * float((spiking > 0).float().mean()):.0f} %'
    return img(spike_mosaic(spiking), f'Spikes of {what}: {share} of the neurons') + share


def _answer(scores: Tensor, label: int, classes: List[str]) -> str:
    guess = int(scores.argmax())
    return f'<b>{escape(classes[guess])} {"✓" if guess == label else "✗"}</b><br>{100 * float(scores[guess]):.0f} %'


def features(batch: TestBatch, trace: FeatureTrace) -> str:
    """The student's features before and after blurring, restored, and the teacher's."""
    student, teacher = feature_range(trace.student), feature_range(trace.restored, trace.teacher)
    cards = []
    for i in range(len(trace.student)):
        label = escape(batch.classes[int(batch.labels[i])])
        shown = [(feature_mosaic(trace.student[i], *student), "1. student's feature"),
                 (feature_mosaic(trace.student[i], *student, trace.mask[i]), '2. blurred'),
                 (feature_mosaic(trace.restored[i], *teacher), '3. restored'),
                 (feature_mosaic(trace.teacher[i], *teacher), "4. teacher's feature")]
        tiles = ''.join(figure(img(image, f'{title} for test image {i + 1}'), title) for image, title in shown)
        picture = img(picture_of(batch.images[i]), f'Input image of class {label}')
        cards.append(f'<article class="card"><h3>Test image {i + 1}: class {label}</h3><div class="trace">{picture}'
                     f'<div class="features">{tiles}</div></div></article>')
    channels = trace.student.shape[1]
    part = f'The first {CHANNELS} of {channels} channels are shown. ' if channels > CHANNELS else ''
    words = (f'<p class="soft"><span class="key" style="background:rgb{ZEROED[:3]}"></span> channel set to zero '
             f'(with probability {trace.blur_ratio:g}; in training only, here with a fixed mask). {part}Over the '
             f'first {len(batch.labels)} test images, the restored features {_explained(trace.explained)}.</p>')
    scales = _scale('1 and 2', *student) + _scale('3 and 4', *teacher)
    return section('features', 'Features: blurred, restored, compared',
                   "Each small square is one channel: the student's is blurred (2) and restored (3), and the loss asks "
                   '3 to look like 4.', words + scales + ''.join(cards))


def _explained(share: float) -> str:
    if share <= 0:
        return ("are no closer to the teacher's than its mean feature, the same for every image, is: either the block "
                'has not learned it, or the teacher has been trained anew since')
    return f"account for {100 * share:.0f} % of how the teacher's differ from image to image"


def _scale(what: str, low: float, high: float) -> str:
    return f'<div class="scale">{what}: {low:.2g} <i role="img" aria-label="dark to bright"></i> {high:.2g}</div>'
