import json
import re
from html.parser import HTMLParser

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from bkdsnn.apis.model import init_model
from bkdsnn.utils.runs import Run
from bkdsnn.visualization.probes import TestBatch, load_distiller, predict, trace_features
from bkdsnn.visualization.report import Report, write_report
from bkdsnn.visualization.report_data import Comparison, Gain, Method, verdict
from helpers import demo_config, run_tool

SECTIONS = ['results', 'accuracy', 'learning', 'losses', 'spikes', 'features']
VOID = {'meta', 'img', 'br', 'link', 'input', 'hr'}


class Page(HTMLParser):
    """Collects ids and text, and fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.words, self.without_alt = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs['id']] if 'id' in attrs else []
        if tag == 'img' and not attrs.get('alt') or tag == 'svg' and not attrs.get('aria-label'):
            self.without_alt.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [dict(attrs)['id']] if 'id' in dict(attrs) else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return ' '.join(' '.join(self.words).split())


@pytest.fixture(scope='module')
def demo(tmp_path_factory, small_teacher):
    """A folder as ``make demo`` leaves it: two methods, two seeds of two epochs each, a summary with known numbers."""
    folder = tmp_path_factory.mktemp('demo')
    torch.set_num_threads(1)
    for name in ('plain', 'mixed'):
        for seed in (0, 1):
            cfg = demo_config(name, folder / name / f'seed{seed}', small_teacher if name == 'mixed' else None,
                              **{'randomness.seed': seed, 'train_cfg.val_interval': 1})
            with DefaultScope.overwrite_default_scope('bkdsnn'):
                Runner.from_cfg(cfg).train()
    write_summary(folder, plain=[81.25, 83.75], mixed=[90.5, 91.5])
    return folder


def write_summary(folder, **accuracies):
    methods = {name: dict(accuracy=accuracy, lr=0.3) for name, accuracy in accuracies.items()}
    (folder / 'summary.json').write_text(json.dumps(dict(teachers=dict(teacher=98.1), methods=methods)))


@pytest.fixture(scope='module')
def written(demo):
    out, picture = demo / 'page' / 'report.html', demo / 'page' / 'picture.png'
    assert write_report(str(demo), str(out), str(picture)) == out
    return out.read_text(encoding='utf-8'), picture.read_bytes()


def test_page_has_every_section_and_is_well_formed(written):
    page = Page(written[0])
    assert not page.open and not page.without_alt
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert len(page.ids) == len(set(page.ids))


def test_page_needs_no_network(written):
    addresses = set(re.findall(r'https?://[^\s"\'<)]+', written[0]))
    assert all(address.startswith('http://www.w3.org/') for address in addresses)
    assert not re.findall(r'<(?:script|link|iframe)|@import|src="(?!data:)', written[0])
    assert '$' not in written[0]


def test_page_shows_the_numbers_of_the_summary(written):
    text = Page(written[0]).text
    for number in ('82.50 ± 1.77', '91.00 ± 0.71', '+8.50 ± 0.75', '2 of 2', '98.10', '81.25, 83.75', '90.50, 91.50'):
        assert number in text
    # One degree of freedom: 12.7 standard errors to each side.
    assert '95 % interval -1.03 to +18.03' in text and 'these 2 seeds do not tell it from plain' in text


def test_picture_is_a_wide_png(written):
    assert written[1][:8] == b'\x89PNG\r\n\x1a\n'
    assert [int.from_bytes(written[1][i:i + 4], 'big') for i in (16, 20)] == [1600, 600]


def test_distiller_is_the_network_that_was_trained(demo):
    run = Run.open(demo / 'mixed' / 'seed0')
    batch = TestBatch.of(run)
    distiller, student = load_distiller(run, demo / 'teacher'), init_model(run.config, str(run.checkpoint))
    inputs = [network.data_preprocessor(batch.data, False)['inputs'] for network in (distiller, student)]
    # Normalised as in training, whose preprocessor stands beside the model in the config.
    assert torch.equal(*inputs) and inputs[0].abs().max() <= 1
    with torch.no_grad():
        assert torch.equal(distiller(inputs[0]), student(inputs[1]))


def test_traced_features_give_the_training_loss(demo):
    run = Run.open(demo / 'mixed' / 'seed0')
    batch = TestBatch.of(run)
    distiller = load_distiller(run, demo / 'teacher')
    chosen = list(range(len(batch.labels)))
    trace = trace_features(distiller, batch.data, chosen)
    loss = distiller.losses.loss_bkd
    expected = loss.loss_weight * (trace.restored - trace.teacher).square().sum() / len(chosen)
    inputs = distiller.data_preprocessor(batch.data, False)['inputs']
    with torch.no_grad(), distiller.student_recorder, distiller.teacher_recorder:
        distiller.student(inputs)
        distiller.teacher(inputs)
        actual = loss(distiller.student_recorder.features[loss.student],
                      distiller.teacher_recorder.features[loss.teacher], mask=trace.mask)
    assert torch.allclose(actual, expected, rtol=1e-4)
    again = trace_features(distiller, batch.data, chosen)
    assert torch.equal(trace.mask, again.mask) and 0.05 < float((trace.mask == 0).float().mean()) < 0.3


def test_last_running_prediction_is_the_networks_own(demo):
    report = Report.gather(str(demo))
    network = init_model(report.comparison.plain.runs[0].config, str(report.comparison.plain.runs[0].checkpoint))
    trace = report.spikes['plain']
    assert torch.equal(trace.scores[-1].argmax(-1), predict(network, report.batch.data)[report.chosen])
    assert list(trace.spikes)[:2] == ['stem', 'layer1']
    assert all(set(spikes.unique().tolist()) <= {0.0, 1.0} for spikes in trace.spikes.values())


def test_without_distillation_its_sections_are_left_out(demo, tmp_path):
    (tmp_path / 'plain').symlink_to(demo / 'plain')
    write_summary(tmp_path, plain=[81.25])
    page = Page(write_report(str(tmp_path)).read_text(encoding='utf-8'))
    assert [name for name in page.ids if name in SECTIONS] == ['results', 'accuracy', 'learning', 'spikes']


def test_resumed_steps_count_once(tmp_path):
    lines = [dict(loss_cls=loss, epoch=2, step=step) for loss, step in ((9.0, 3), (4.0, 3), (2.0, 4))]
    logs = tmp_path / 'a' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    curve = Method('plain', [1.0], runs=[Run(tmp_path, Config())]).train_curve('loss_cls')
    assert curve.epochs.tolist() == [2] and curve.values.tolist() == [[3.0]]


@pytest.mark.parametrize('differences, words', [
    ([1.0, 1.2, 1.1], 'better than plain'),
    ([-1.0, -1.2, -1.1], 'worse than plain'),
    ([1.0, -1.2, 0.1], 'do not tell it from plain'),
    ([5.0], 'one seed'),
])
def test_verdict_follows_the_numbers(differences, words):
    assert words in verdict(Method('mixed', [90.0]), Gain(differences))


def test_missing_folder_names_path_and_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.summary\.json.*make demo'):
        write_report(str(tmp_path / 'nowhere'))
    result = run_tool('tools/analysis_tools/report.py', tmp_path / 'nowhere')
    assert result.returncode == 1 and 'make demo' in result.stderr and 'Traceback' not in result.stderr


def test_summary_without_runs_names_path_and_command(tmp_path):
    write_summary(tmp_path, plain=[81.25])
    with pytest.raises(FileNotFoundError, match=r'plain.*seed0.*make demo'):
        Comparison.read(str(tmp_path))


@pytest.mark.parametrize('text', ['{"methods"', '{}', '[]', '{"methods": {"mixed": {"accuracy": [1.0]}}}'])
def test_damaged_summary_is_named(tmp_path, text):
    (tmp_path / 'summary.json').write_text(text)
    with pytest.raises(ValueError, match=r'summary\.json.*make demo'):
        Comparison.read(str(tmp_path))
