"""The report's page, from runs as training leaves them."""
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch
from mmengine.config import ConfigDict

from bkdsnn.apis.evaluate import build_loader, evaluate
from bkdsnn.apis.model import init_model
from bkdsnn.checkpoints.files import load_file
from bkdsnn.report import Report, write_report
from bkdsnn.report.bench import Bench
from bkdsnn.report.measure import ask
from bkdsnn.report.networks import _find_teacher, inputs_of, load_distiller, step_logits
from bkdsnn.report.page import take_accuracies
from bkdsnn.report.reading import read_comparison
from bkdsnn.report.traces import trace_features
from bkdsnn.runs.folders import Run
from generated_runs import derive_run, write_summary
from helpers import run_tool

SECTIONS = ['results', 'accuracy', 'settings', 'learning', 'losses', 'gradients', 'over-time', 'energy', 'confusion',
            'examples', 'similarity', 'spikes', 'features']
VOID = {'meta', 'img', 'br', 'link', 'input', 'hr', 'wbr', 'path', 'circle'}
# Enough for every section, and quick; as of the fixture's page.
SAMPLES = 30


class Page(HTMLParser):
    """Collects ids and text, and fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.words, self.without_alt, self.missing = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs['id']] if 'id' in attrs else []
        self.links += [attrs['href']] if tag == 'a' else []
        hidden = attrs.get('aria-hidden') == 'true'
        if tag == 'img' and not attrs.get('alt') or tag == 'svg' and not (attrs.get('aria-label') or hidden):
            self.without_alt.append(tag)
        if attrs.get('class') == 'missing':
            self.missing.append(len(self.words))
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

    @property
    def sections(self):
        return [name for name in self.ids if name in SECTIONS]

    @property
    def reasons(self):
        return [self.words[i] for i in self.missing]


def read(path):
    return Page(path.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def written(small_report):
    assert [path.name for path in small_report] == ['report.html', 'picture.png']
    return small_report


@pytest.fixture(scope='module')
def report(small_comparison):
    state = torch.get_rng_state()
    gathered = Report.gather(str(small_comparison), samples=SAMPLES)
    assert torch.equal(torch.get_rng_state(), state), 'the random numbers of the caller are left alone'
    return gathered


def test_page_has_every_section_and_is_well_formed(written):
    page = read(written[0])
    assert not page.open and not page.without_alt
    assert page.sections == SECTIONS and page.links == [f'#{name}' for name in SECTIONS]
    assert len(page.ids) == len(set(page.ids)) and not page.reasons


def test_page_needs_no_network(written):
    text = written[0].read_text(encoding='utf-8')
    addresses = set(re.findall(r'https?://[^\s"\'<)]+', text))
    assert all(address.startswith('http://www.w3.org/') for address in addresses)
    assert not re.findall(r'<(?:script|link|iframe)|@import|src="(?!data:)|url\((?!#)', text)
    assert '$' not in text


def test_page_shows_the_numbers_of_the_summary(written):
    text = read(written[0]).text
    for number in ('82.50 ± 1.77', '91.00 ± 0.71', '+8.50 ± 0.75', '2 of 2', '98.10', '81.25, 83.75', '90.50, 91.50'):
        assert number in text
    # One degree of freedom: 12.7 standard errors to each side.
    assert '95 % interval -1.03 to +18.03' in text and 'these 2 seeds do not tell it from plain' in text


def test_picture_is_a_wide_png(written):
    content = written[1].read_bytes()
    assert content[:8] == b'\x89PNG\r\n\x1a\n'
    assert [int.from_bytes(content[i:i + 4], 'big') for i in (16, 20)] == [1600, 600]


def test_same_runs_give_the_same_page(written, report):
    assert written[0].read_text(encoding='utf-8') == report.page()


def measure(*paths):
    """Test data of runs, and what was measured and noted on all of them."""
    bench = Bench(read_comparison(paths)).load()
    answers = ask(bench, 'test')
    take_accuracies(bench, answers)
    return bench, answers


def test_measured_accuracy_is_that_of_the_test_tool(small_comparison):
    run = Run.open(small_comparison / 'mixed' / 'seed1')
    bench, found = measure(run.folder)
    group, = bench.comparison.groups
    expected = evaluate(init_model(run.config, str(run.checkpoint)), 'test')
    assert group.accuracy == {1: pytest.approx(expected)} and not bench.notes
    answers, = found.of(group).values()
    assert len(answers.labels) == 897 and answers.over_time.accuracy[-1] == pytest.approx(expected)


def test_measured_teacher_is_the_teacher_alone(report, small_teacher):
    network = init_model(str(small_teacher / 'small.py'), str(small_teacher))
    loader = build_loader(network.cfg, 'test')
    data = report.tested.data['mixed']
    whole = torch.cat([step_logits(network, batch)[0] for batch in loader])
    torch.testing.assert_close(report.tested.teachers['mixed'].logits[0], whole[data.indices], rtol=1e-4, atol=1e-4)
    assert len(data) == SAMPLES and data.indices[-1] == 896


def test_summary_that_the_checkpoints_contradict_is_noted(small_comparison, tmp_path):
    (tmp_path / 'plain').symlink_to(small_comparison / 'plain')
    write_summary(tmp_path, plain=[99.0, 99.0])
    notes = measure(tmp_path)[0].notes
    assert len(notes) == 1 and re.search(r'summary says 99\.00 % for plain.*compare_runs\.py', notes[0])


def test_distiller_is_the_network_that_was_trained(small_comparison):
    run = Run.open(small_comparison / 'mixed' / 'seed0')
    distiller, student = load_distiller(run), init_model(run.config, str(run.checkpoint))
    batch = next(iter(build_loader(run.config, 'test')))
    inputs = [inputs_of(network, batch)['student'] for network in (distiller, student)]
    # Normalised as in training, whose preprocessor stands beside the model in the config.
    assert torch.equal(*inputs) and inputs[0].abs().max() <= 1
    with torch.no_grad():
        assert torch.equal(distiller(inputs[0]), student(inputs[1]))


def test_traced_features_give_the_training_loss(small_comparison):
    run = Run.open(small_comparison / 'mixed' / 'seed0')
    batch, distiller = next(iter(build_loader(run.config, 'test'))), load_distiller(run)
    chosen = list(range(len(batch['data_samples'])))
    trace = trace_features(distiller, batch, chosen)
    loss = distiller.losses.loss_bkd
    expected = loss.loss_weight * (trace.restored - trace.teacher).square().sum() / len(chosen)
    inputs = inputs_of(distiller, batch)['student']
    with torch.no_grad(), distiller.student_recorder as recorder:
        distiller.student(inputs)
        actual = loss(recorder.features[loss.student], distiller.teach(inputs)[loss.teacher], mask=trace.mask)
    assert torch.allclose(actual, expected, rtol=1e-4)
    again = trace_features(distiller, batch, chosen)
    assert torch.equal(trace.mask, again.mask) and 0.05 < float((trace.mask == 0).float().mean()) < 0.3


def test_last_running_prediction_is_the_networks_own(small_comparison, report):
    run = Run.open(small_comparison / 'plain' / 'seed0')
    looked = report.inside
    trace = looked.spikes['plain']
    logits = step_logits(init_model(run.config, str(run.checkpoint)), looked.batch.batch).mean(0)
    assert torch.equal(trace.scores[-1].argmax(-1), logits.argmax(-1)[looked.chosen])
    assert list(trace.spikes)[:2] == ['stem', 'layer1']
    assert all(set(spikes.unique().tolist()) <= {0.0, 1.0} for spikes in trace.spikes.values())


def test_examples_are_mistakes_that_the_teacher_does_not_make(report):
    assert report.examples
    for example in report.examples:
        assert list(example.answers) == ['mixed', 'plain', 'teacher']
        assert example.answers['teacher'][0] == example.label != example.answers['mixed'][0]


def test_gradients_and_similarity_are_those_of_each_run(report):
    assert {name: len(seeds) for name, seeds in report.gradients.items()} == dict(mixed=2)
    assert list(report.gradients['mixed'][0]) == ['loss_cls', 'loss_bkd', 'loss_wsld']
    assert list(report.similarities) == ['plain', 'mixed']
    assert report.similarities['mixed'].columns == ['conv1', 'layer1', 'layer2', 'layer3', 'head']
    assert report.costs.samples == SAMPLES and report.costs.students['plain'].time_steps == 2


def test_without_distillation_its_sections_are_left_out(small_comparison, tmp_path):
    (tmp_path / 'plain').symlink_to(small_comparison / 'plain')
    write_summary(tmp_path, plain=[81.25, 83.75])
    page = read(write_report(str(tmp_path), samples=SAMPLES))
    assert page.sections == ['results', 'accuracy', 'learning', 'over-time', 'energy', 'confusion', 'spikes']
    assert not page.reasons


def test_one_run_alone_is_enough(small_comparison, tmp_path):
    out = tmp_path / 'report.html'
    page = read(write_report(str(small_comparison / 'mixed' / 'seed0'), out=str(out), samples=SAMPLES))
    # There is nothing to compare its settings with.
    assert page.sections == [name for name in SECTIONS if name != 'settings']
    assert 'Report on mixed' in page.text
    assert page.reasons == [f'The accuracy of mixed is measured on {SAMPLES} of 897 test samples, evenly spread.']


def test_teacher_that_is_gone_takes_nothing_else_with_it(small_comparison, tmp_path):
    mine = derive_run(small_comparison / 'mixed' / 'seed0', tmp_path / 'mine')
    config = Run.open(mine).config
    config.model.teacher.checkpoint = 'gone/teacher'
    config.dump(str(mine / 'mixed.py'))
    page = read(write_report(str(mine), str(small_comparison / 'plain' / 'seed0'), out=str(tmp_path / 'r.html'),
                             samples=SAMPLES))
    assert [name for name in SECTIONS if name not in page.sections] == []
    assert "checkpoint 'gone/teacher' does not exist" in page.reasons[0]
    assert sum('this needs the teacher of mine' in reason for reason in page.reasons) == 5


def test_a_run_that_asks_no_teacher_leaves_the_others_their_measurements(small_comparison, tmp_path):
    """Its config names a teacher, as every pair does, but none of its losses."""
    mine = derive_run(small_comparison / 'mixed' / 'seed0', tmp_path / 'mine')
    run = Run.open(mine)
    run.config.model.losses = dict(loss_cls=dict(type='TETLoss', student='head'))
    run.config.dump(str(mine / 'mixed.py'))
    checkpoint = load_file(str(run.checkpoint))
    weights = {key: value for key, value in checkpoint['state_dict'].items() if not key.startswith('losses')}
    torch.save(dict(checkpoint, state_dict=weights), run.checkpoint)
    out = tmp_path / 'r.html'
    page = read(write_report(str(mine), str(small_comparison / 'plain' / 'seed0'), out=str(out), samples=SAMPLES))
    assert not page.reasons or all('evenly spread' in reason for reason in page.reasons)
    assert {'accuracy', 'gradients', 'over-time', 'energy', 'confusion'} <= set(page.sections)
    for runs in ((mine, small_comparison / 'mixed' / 'seed1'), (small_comparison / 'mixed' / 'seed1', mine)):
        _, found = measure(*runs)  # both name the same teacher
        assert len(found.students) == 2 and 'mixed' in found.teachers
    page = read(write_report(*map(str, runs), out=str(out), samples=SAMPLES))
    assert {'energy', 'similarity'} <= set(page.sections)


@pytest.mark.parametrize('checkpoint', ['https://somewhere.org/teacher.pth', 'hf://owner/teacher', 'pretrained', None])
def test_weights_that_are_no_path_are_not_looked_for_beside_the_run(checkpoint, tmp_path):
    (tmp_path / 'pretrained').mkdir()
    teacher = ConfigDict(checkpoint=checkpoint)
    _find_teacher(teacher, tmp_path / 'run')
    assert teacher.checkpoint == checkpoint


def test_data_that_are_gone_are_named_whenever_that_shows(small_comparison, tmp_path):
    mine = derive_run(small_comparison / 'plain' / 'seed0', tmp_path / 'mine')
    config = Run.open(mine).config
    config.val_dataloader.dataset = dict(type='ImageFolder', data_root='gone', split='val', pipeline=[])
    config.dump(str(mine / 'mixed.py'))
    page = read(write_report(str(mine), str(small_comparison / 'plain' / 'seed0'), out=str(tmp_path / 'r.html'),
                             samples=SAMPLES))
    assert any('The val data of mine cannot be used' in reason for reason in page.reasons)


def test_data_that_are_gone_leave_the_logs(small_comparison, tmp_path):
    mine = derive_run(small_comparison / 'plain' / 'seed0', tmp_path / 'mine', plain=False)
    config = Run.open(mine).config
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].dataset = dict(type='ImageFolder', data_root='gone', split='val', pipeline=[])
    config.dump(str(mine / 'mixed.py'))
    page = read(write_report(str(mine), out=str(tmp_path / 'r.html'), samples=SAMPLES))
    assert {'results', 'learning'} <= set(page.sections) and 'is not known' in page.text
    assert page.reasons and all('gone' in reason for reason in page.reasons)


def test_data_of_one_run_that_are_gone_leave_the_other(small_comparison, tmp_path):
    mine = derive_run(small_comparison / 'plain' / 'seed0', tmp_path / 'mine')
    config = Run.open(mine).config
    config.test_dataloader.dataset = dict(type='ImageFolder', data_root='gone', split='val', pipeline=[])
    config.dump(str(mine / 'mixed.py'))
    bench, found = measure(mine, small_comparison / 'plain' / 'seed0')
    assert list(found.students) == [('plain', 0)] and 'test data of mine cannot be used' in bench.notes[0]


def test_folders_of_methods_are_told_apart(small_comparison, tmp_path):
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'plain').symlink_to(small_comparison / 'plain')
    write_summary(tmp_path / 'other', plain=[70.0, 71.0])
    names = [group.name for group in read_comparison([small_comparison, tmp_path / 'other']).groups]
    assert names == [f'{small_comparison.name}/plain', 'mixed', 'other/plain']


def test_checkpoint_that_is_damaged_is_noted_and_the_others_are_measured(small_comparison, tmp_path, monkeypatch):
    for seed in (0, 1):
        shutil.copytree(small_comparison / 'plain' / f'seed{seed}', tmp_path / f'seed{seed}')
    (tmp_path / 'seed1' / 'epoch_2.pth').write_bytes(b'half')
    bench, _ = measure(tmp_path)
    assert any('seed1 is left out of all measurements' in note for note in bench.notes)
    assert list(bench.comparison.groups[0].accuracy) == [0]
    shutil.rmtree(tmp_path / 'seed0')
    page = read(write_report(str(tmp_path), samples=SAMPLES))
    assert 'energy' in page.sections and any('no network could be built' in reason for reason in page.reasons)
    monkeypatch.setenv('BKDSNN_DEBUG', '1')
    with pytest.raises(ValueError, match='cannot be read'):
        measure(tmp_path)


def test_tool_says_where_the_page_is(small_comparison, tmp_path):
    out = tmp_path / 'report.html'
    result = run_tool('tools/analysis_tools/report.py', small_comparison / 'plain' / 'seed0',
                      small_comparison / 'mixed' / 'seed0', '--out', out, '--samples', SAMPLES, '--device', 'cpu')
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f'Wrote {out}' and 'Comparison of plain and mixed' in read(out).text
    assert 'Gradients of the loss terms' in result.stderr


@pytest.mark.parametrize('arguments, words', [
    (('{0}/nowhere', ), 'nowhere does not exist'), (('{0}', '--samples', '0'), 'samples=0 must be at least 1')])
def test_bad_input_is_one_paragraph(small_comparison, arguments, words):
    result = run_tool('tools/analysis_tools/report.py', *(argument.format(small_comparison) for argument in arguments))
    assert result.returncode == 1 and words in result.stderr and 'Traceback' not in result.stderr
