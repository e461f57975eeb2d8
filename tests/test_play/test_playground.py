"""The page to play with: what networks do with a sample, and the HTML."""
import json
import random
import re
from html import unescape
from threading import Thread

import numpy as np
import pytest
import torch

from bkdsnn.apis.evaluate import evaluate
from bkdsnn.datasets.event_files import write_events
from bkdsnn.evaluation import running_scores
from bkdsnn.play import panels, plots
from bkdsnn.play.drawing import scan_of
from bkdsnn.play.playground import DigitPlayground, EventPlayground, Sample
from bkdsnn.play.watching import settled_step, watch
from bkdsnn.registry import MODELS
from helpers import small_playground, stroke, tiny_student

# ---- one network ----


@pytest.mark.parametrize('answers, step', [([3], 1), ([3, 3, 3], 1), ([1, 3, 3], 2), ([3, 1, 3], 3), ([1, 1, 2], 3)])
def test_settled_step(answers, step):
    assert settled_step(answers) == step


def test_watched_spikes_and_scores_are_those_of_the_network():
    network, image = MODELS.build(tiny_student()).eval(), torch.rand(1, 1, 8, 8)
    watched = watch(network, image, 5)
    assert network.backbone.T == 2  # as before
    network.backbone.T = 5
    assert torch.equal(watched.scores, running_scores(network(image))[:, 0])
    # Stem and two units: 4 channels of 8x8; two units and the shortcut: 8 channels of 4x4.
    assert watched.neurons == 3 * 4 * 64 + 3 * 8 * 16
    assert {name: tuple(x.shape) for name, x in watched.stages.items()} == {
        'stem': (5, 4, 8, 8), 'layer1': (5, 4, 8, 8), 'layer2': (5, 8, 4, 4)}
    shown = sum(x.flatten(1).sum(1) for x in watched.stages.values())
    assert watched.spikes.shape == (5, ) and (watched.spikes >= shown).all() and shown.sum() > 0


def test_more_steps_go_on_where_fewer_end():
    network, image = MODELS.build(tiny_student()).eval(), torch.rand(1, 1, 8, 8)
    few, many = watch(network, image, 2), watch(network, image, 6)
    assert torch.allclose(many.scores[:2], few.scores)
    assert torch.equal(many.spikes[:2], few.spikes)
    assert many.energy > few.energy and many.energy_as_ann == few.energy_as_ann


def test_energy_as_ann_is_that_of_every_multiplication_in_one_step():
    watched = watch(MODELS.build(tiny_student()).eval(), torch.rand(1, 1, 8, 8), 3)
    macs = 64 * 9 * 4 + 2 * 64 * 9 * 4 * 4 + 16 * (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8) + 8 * 10
    assert watched.energy_as_ann == pytest.approx(4.6e-12 * macs)
    # The stem multiplies once; all other layers accumulate, and the first of them each spike of the stem 9 * 4 times.
    assert watched.energy > 4.6e-12 * 64 * 9 * 4


# ---- three networks ----


@pytest.fixture(scope='module')
def digits():
    return small_playground(DigitPlayground)


@pytest.fixture(scope='module')
def events():
    return small_playground(EventPlayground)


def test_missing_weights_name_the_commands_that_make_them(monkeypatch):
    monkeypatch.setattr('bkdsnn.apis.model.published_weights', lambda: {'demo/plain': 'no-such-file.pth'})
    with pytest.raises(OSError, match='no-such-file.pth.*make demo demo-events demo-weights'):
        DigitPlayground.load()


def test_answers_on_the_test_data_are_those_of_an_evaluation(digits, events):
    for playground in (digits, events):
        for name, network in playground.networks.items():
            assert playground.accuracy[name] == pytest.approx(evaluate(network))
            assert playground.accuracy[name] > 70


def test_all_networks_read_a_drawn_three(digits):
    drawn = Sample(scan_of(stroke([(84, 56), (140, 34), (190, 70), (174, 118), (126, 134), (182, 151), (196, 202),
                                   (146, 246), (78, 230)])), 'drawn')
    assert {w.answer for w in digits.play(drawn, digits.trained_steps).values()} == {3}


@pytest.mark.parametrize('kind', ['digits', 'events'])
def test_playing_a_test_sample_gives_the_answer_of_the_evaluation(kind, request):
    playground = request.getfixturevalue(kind)
    for index in range(0, 50, 17):
        watched = playground.play(playground.sample(index), playground.trained_steps)
        assert {name: w.answer for name, w in watched.items()} == {
            name: int(answers[index]) for name, answers in playground.answers.items()}


def test_students_take_the_steps_asked_for_and_the_teacher_its_own(digits, events):
    steps = {name: w.time_steps for name, w in digits.play(digits.sample(0), 7).items()}
    assert steps == dict(plain=7, mixed=7, teacher=1)
    steps = {name: w.time_steps for name, w in events.play(events.sample(0), 7).items()}
    assert steps == dict(plain=7, mixed=7, teacher=16)
    assert (digits.trained_steps, events.trained_steps) == (2, 4)


@pytest.mark.parametrize('steps', [0, 17, 2.5])
def test_numbers_of_steps_that_cannot_be_are_refused(digits, steps):
    with pytest.raises(ValueError, match=f'T={steps} .* from 1 to 16'):
        digits.play(digits.sample(0), steps)


def test_visitors_at_the_same_time_get_their_own_number_of_steps(digits):
    seen = {}
    threads = [Thread(target=lambda n=n: seen.update({n: digits.play(digits.sample(0), n)})) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: len(watched['plain'].scores) for n, watched in seen.items()} == {n: n for n in range(1, 9)}


def test_disputed_samples_are_those_with_two_answers(digits):
    rng = random.Random(0)
    for _ in range(5):
        sample = digits.pick(rng, disputed=True)
        watched = digits.play(sample, digits.trained_steps)
        assert watched['plain'].answer != watched['mixed'].answer


def test_scans_are_the_data_sets_pixels(digits):
    from sklearn.datasets import load_digits
    info = digits.dataset.get_data_info(3)
    sample = digits.sample(3)
    assert np.array_equal(sample.data, load_digits().images[info['digit_id']])
    assert np.array_equal(digits.inputs(sample, 2)['plain'].numpy()[0], info['img'][..., 0])


def test_frames_are_as_bright_for_any_number_of_steps(events):
    sample = events.sample(0)
    for steps in (1, 4, 8):
        inputs = events.inputs(sample, steps)
        assert inputs['plain'].mean(0).sum() == pytest.approx(len(sample.data) / 4)
        assert inputs['teacher'].sum() == len(sample.data)


def test_a_recording_is_read_back(events, tmp_path):
    sample = events.sample(4)
    write_events(tmp_path / 'mine.npy', sample.data)
    read = events.read(str(tmp_path / 'mine.npy'))
    assert np.array_equal(read.data, sample.data) and (read.name, read.label) == ('mine.npy', None)
    assert events.play(read, 4)['plain'].answer == events.play(sample, 4)['plain'].answer


def recording(**fields):
    array = np.zeros(6, [(name, np.int64) for name in 'xytp'])
    for name, value in fields.items():
        array[name] = value
    return array


def test_a_recording_of_a_larger_sensor_tells_its_size(events, tmp_path):
    np.save(tmp_path / 'wide.npy', recording(x=33, y=5, t=range(6)))
    sample = events.read(str(tmp_path / 'wide.npy'))
    assert sample.sensor_size == (34, 20, 2)
    assert events.inputs(sample, 3)['plain'].shape == (3, 2, 20, 34)


@pytest.mark.parametrize('array, message', [
    (recording()[:0], 'bad.npy has no events'),
    (recording(x=99999), 'x outside 0 to 1279'),
    (recording(y=-1), 'y outside 0'),
    (recording(p=2), 'p outside 0 to 1'),
    (np.zeros(3), '^bad.npy cannot be read'),
])
def test_a_bad_recording_is_refused_by_its_own_name(events, tmp_path, array, message):
    np.save(tmp_path / 'bad.npy', array)
    with pytest.raises((ValueError, OSError), match=message):
        events.read(str(tmp_path / 'bad.npy'))


# ---- the HTML ----


def per_step(html, what):
    return [json.loads(unescape(text)) for text in re.findall(f'data-{what}="([^"]*)"', html)]


@pytest.mark.parametrize('steps', [1, 2, 16])
def test_result_has_every_step_of_everything(digits, steps):
    watched = digits.play(digits.sample(0), steps)
    html = panels.result(watched, digits.dataset.metainfo['classes'], label=0)
    for what in ('texts', 'shares', 'flags'):
        assert {len(values) for values in per_step(html, what)} == {steps}
    shares = np.array(per_step(html, 'shares'))  # of ten classes of two students
    assert shares.shape == (20, steps) and shares.reshape(2, 10, steps).sum(1) == pytest.approx(1, abs=1e-3)
    assert html.count('data:image/png') == 8
    assert all(text in html for text in ('Teacher (ANN)', f'{steps} step', '4.6 pJ', '0.9 pJ'))


def test_result_says_when_an_answer_settled(digits):
    watched = digits.play(digits.sample(0), 3)['plain']
    classes = [f'class {k}' for k in range(10)]
    scores = torch.eye(10)[[4, 7, 7]]
    changed = type(watched)(watched.stages, watched.spikes, watched.neurons, scores, 1e-7, 1e-6)
    assert panels.settling(changed, classes) == 'settles in step 2 of 3, after class 4'
    assert per_step(panels.answer(changed, classes, 7), 'texts') == [
        ['class 4', 'class 7', 'class 7'], ['100 %'] * 3, ['✗', '✓', '✓']]


def test_names_of_files_are_text_and_no_html():
    assert '<b>' not in panels.caption('<b>x</b>.npy') and '<b>' not in panels.notice('<b>')
    assert '"' not in plots.each('texts', ['"><script>'])[len(' data-texts="'):-1]


def test_stacked_pictures_show_each_steps_spikes():
    spikes = torch.zeros(2, 1, 2, 2)
    spikes[1, 0, 0, 1] = 1
    first, second = (plots.spike_picture(step, '#0072B2') for step in spikes)
    assert (first == plots.SILENT).all()
    assert second[0, 1].tolist() == [0, 0x72, 0xB2, 255] and (second[1] == plots.SILENT).all()
    style = plots.stacked([first, second])
    assert '--ratio:8/12' in style and '--last:1' in style  # two pixels and a line, four times as large


def test_frames_of_a_large_sensor_are_drawn_small():
    frames = np.zeros((2, 2, 72, 128), np.float32)
    frames[0, 1, :, 64:] = 3
    html = plots.film(frames)
    assert '--ratio:256/148' in html  # 64x36 and a line, four times as large
    assert per_step(html, 'texts') == [['13,824', '0']]
    assert (plots.shrunk(frames)[0, 1] == np.repeat([0, 3], 32)).all()
    assert plots.shrunk(frames[..., :20, :20]).shape == (2, 2, 20, 20)


@pytest.mark.parametrize('energy, text', [(3.43e-7, '343 nJ'), (3.02e-5, '30.2 µJ'), (2e-3, '2 mJ'), (0, '0 nJ')])
def test_energy_has_a_handy_unit(energy, text):
    assert panels.joule(energy) == text


@pytest.mark.parametrize('share, text', [(1, '100 %'), (0.999, '> 99 %'), (0.5, '50 %'), (0.001, ''), (0, '')])
def test_percent(share, text):
    assert panels.percent(share) == text


def test_comparison_with_the_teacher():
    assert panels.compared(1e-6, 3e-6) == '3 times less'
    assert panels.compared(6e-6, 3e-6) == '2 times more'
    assert panels.compared(3e-6, 3e-6) == ''
