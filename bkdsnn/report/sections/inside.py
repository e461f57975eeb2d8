"""What happens inside: spikes over time, and features blurred, restored and compared."""
from html import escape
from typing import Dict, List, Optional, Union

import numpy as np
from torch import Tensor

from ...visualization.figures import CHANNELS, SILENCE, SPIKE, ZEROED, feature_mosaic, feature_range, spike_mosaic
from ..bench import Missing
from ..pieces import Section, figure, img, missing
from ..samples import TestBatch
from ..traces import FeatureTrace, SpikeTrace

MAX_STEPS = 4


def spikes(batch: TestBatch, chosen: List[int], traces: Union[Dict[str, SpikeTrace], Missing]) -> Optional[Section]:
    """Spikes over time on test images, the networks side by side."""
    title = 'Spikes over time'
    if isinstance(traces, Missing):
        return missing('spikes', title, traces)
    if not traces:
        return None
    cards = []
    for position, index in enumerate(chosen):
        label = escape(batch.class_of(index))
        tables = ''.join(_steps(name, trace, position, index, batch) for name, trace in traces.items())
        verdicts = {int(trace.scores[-1, position].argmax()) for trace in traces.values()}
        note = ' – here the networks disagree' if len(verdicts) > 1 else ''
        cards.append(f'<article class="card"><h3>Test image {index + 1}: class {label}{note}</h3><div class="trace">'
                     f'{img(batch.picture(index), f"Input image of class {batch.class_of(index)}")}'
                     f'<div class="nets">{tables}</div></div></article>')
    keys = ' '.join(f'<span class="key" style="background:rgb{colour[:3]}"></span> {meaning}'
                    for colour, meaning in ((SPIKE, 'spike'), (SILENCE, 'no spike')))
    return Section('spikes', title,
                   'Each small square is one channel of a layer at one time step, with the share of neurons that spike '
                   'below it; the last row is the class predicted from the steps so far.',
                   f'<p class="soft">{keys}. The images are the first of the test data and the first on which the '
                   f'networks disagree, if any; the networks are those of the first seed.</p>{"".join(cards)}')


def _steps(name: str, trace: SpikeTrace, position: int, index: int, batch: TestBatch) -> str:
    """Table of a network on one image: layers by time steps."""
    total = len(trace.scores)
    steps = np.unique(np.linspace(0, total - 1, min(total, MAX_STEPS)).round().astype(int)).tolist()
    head = ''.join(f'<th scope="col">step {step + 1}</th>' for step in steps)
    rows = []
    for layer, spiking in trace.spikes.items():
        cells = ''.join(f'<td>{_spike_cell(spiking[step, position], f"{name}, {layer}, step {step + 1}")}</td>'
                        for step in steps)
        rows.append(f'<tr><th scope="row">{escape(layer)}</th>{cells}</tr>')
    answers = ''.join(f'<td>{_answer(trace.scores[step, position], index, batch)}</td>' for step in steps)
    return (f'<table class="steps"><caption>{escape(name)}</caption><thead><tr><td></td>{head}</tr></thead><tbody>'
            f'{"".join(rows)}<tr><th scope="row">says</th>{answers}</tr></tbody></table>')


def _spike_cell(spiking: Tensor, what: str) -> str:
    share = f'{100 * float((spiking > 0).float().mean()):.0f} %'
    return img(spike_mosaic(spiking), f'Spikes of {what}: {share} of the neurons') + share


def _answer(scores: Tensor, index: int, batch: TestBatch) -> str:
    guess = int(scores.argmax())
    mark = '✓' if guess == int(batch.labels[index]) else '✗'
    return f'<b>{escape(batch.source.name_of(guess))} {mark}</b><br>{100 * float(scores[guess]):.0f} %'


def features(batch: TestBatch, trace: Union[FeatureTrace, Missing, None]) -> Optional[Section]:
    """The student's features before and after blurring, restored, and the teacher's."""
    title = 'Features: blurred, restored, compared'
    if trace is None or isinstance(trace, Missing):
        return None if trace is None else missing('features', title, trace)
    student, teacher = feature_range(trace.student), feature_range(trace.restored, trace.teacher)
    cards = []
    for i in range(len(trace.student)):
        label = batch.class_of(i)
        shown = [(feature_mosaic(trace.student[i], *student), "1. student's feature"),
                 (feature_mosaic(trace.student[i], *student, trace.mask[i]), '2. blurred'),
                 (feature_mosaic(trace.restored[i], *teacher), '3. restored'),
                 (feature_mosaic(trace.teacher[i], *teacher), "4. teacher's feature")]
        tiles = ''.join(figure(img(image, f'{title} for test image {i + 1}'), title) for image, title in shown)
        picture = img(batch.picture(i), f'Input image of class {label}')
        cards.append(f'<article class="card"><h3>Test image {i + 1}: class {escape(label)}</h3><div class="trace">'
                     f'{picture}<div class="features">{tiles}</div></div></article>')
    channels = trace.student.shape[1]
    part = f'The first {CHANNELS} of {channels} channels are shown. ' if channels > CHANNELS else ''
    words = (f'<p class="soft"><span class="key" style="background:rgb{ZEROED[:3]}"></span> channel set to zero '
             f'(with probability {trace.blur_ratio:g}; in training only, here with a fixed mask). {part}Over the '
             f'first {len(batch.labels)} test images, the restored features {_explained(trace.explained)}.</p>')
    scales = _scale('1 and 2', *student) + _scale('3 and 4', *teacher)
    return Section('features', title,
                   "Each small square is one channel: the student's is blurred (2) and restored (3), and the loss asks "
                   '3 to look like 4.', words + scales + ''.join(cards))


def _explained(share: float) -> str:
    if share <= 0:
        return ("are no closer to the teacher's than its mean feature, the same for every image, is: either the block "
                'has not learned it, or the teacher has been trained anew since')
    return f"account for {100 * share:.0f} % of how the teacher's differ from image to image"


def _scale(what: str, low: float, high: float) -> str:
    return f'<div class="scale">{what}: {low:.2g} <i role="img" aria-label="dark to bright"></i> {high:.2g}</div>'
