"""The scripts in benchmarks/ run and end in JSON; no time is asserted."""
import importlib.util
import inspect
import json
import os
import runpy
import sys
import time
from pathlib import Path

import pytest
import torch

from bkdsnn.config.methods import methods
from bkdsnn.datasets.transforms import CentralSquare
from bkdsnn.models.layers import sparse_conv
from bkdsnn.report.answers import Answers
from bkdsnn.utils.processor import cpu_computes_in_bfloat16

BENCHMARKS = Path(__file__).parent.parent / 'benchmarks'


@pytest.fixture
def run(monkeypatch, capsys):
    """The object that a script prints last."""
    def run(name, *arguments):
        monkeypatch.syspath_prepend(BENCHMARKS)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        runpy.run_path(str(BENCHMARKS / name), run_name='__main__')
        return json.loads(capsys.readouterr().out.splitlines()[-1])
    return run


def test_events(run):
    result = run('bench_events.py', '--repeats', 1, '--epochs', 1, '--workers', 0)
    assert {'speedup', 'speedup_min', 'events_per_second', 'versions', 'machine'} <= set(result)
    assert len(result['epoch_seconds']) == 4 and set(result['recording']) == {'raw', 'cached'}
    assert set(result['framing']) == {'gesture', 'aedat4'}


def test_data(run):
    result = run('bench_data.py', '--images', 8, '--size', 60, 45, '--batch-size', 4, '--workers', 0, 1, '--repeats',
                 1, '--image-scale', 32)
    assert {'speedup', 'speedup_min', 'fill_ms_per_image', 'cores', 'versions', 'machine'} <= set(result)
    assert set(result['loading']) == {'train_transformer', 'train_sew', 'val'}
    kinds = {f'{side}, {number} workers' for side in ('mmpretrain', 'ours', 'cached') for number in (0, 1)}
    assert all(set(rows) == kinds for rows in (*result['loading'].values(), result['training']))
    assert set(result['start_workers']) == {'1 workers'}
    assert all(0 < row['wait_share'] < 1 for row in result['training'].values())


def test_data_compares_the_images_before(run, monkeypatch):
    monkeypatch.setattr(CentralSquare, 'transform', lambda self, results: results)
    with pytest.raises(RuntimeError, match='image 0 differs between mmpretrain, ours, cached'):
        run('bench_data.py', '--images', 8, '--size', 60, 45, '--image-scale', 32)


def test_import(run, monkeypatch):
    """The longest of the sides runs, since each takes seconds."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    timing = importlib.import_module('timing')
    ran = []

    def interleaved(functions, repeats):
        ran.extend(name for name in functions if name == 'train' and functions[name]() is None)
        return {name: [1.0 + (name == 'apis')] * repeats for name in functions}

    monkeypatch.setattr(timing, 'interleaved', interleaved)
    result = run('bench_import.py', '--repeats', 1, '--train-repeats', 1)
    assert ran == ['train'] and result['train_start_s'] == 1
    assert result['import_extra_s'] == result['import_extra_min_s'] == 1 and result['predictor_extra_s'] == 0
    assert {'predictor_extra_min_s', 'cores', 'versions', 'machine'} <= set(result)


def test_growth(run, tmp_path):
    axes = dict(time_steps=[1, 2], batch_size=[2, 4], size=[32, 64], depth=[1, 2])
    arguments = [str(part) for name, values in axes.items() for flag in [name.replace('_', '-')]
                 for part in (f'--{flag}', *values, f'--base-{flag}', values[0])]
    result = run('bench_growth.py', '--repeats', 1, *arguments, '--plot', tmp_path / 'growth.svg')
    assert {'growth', 'base', 'versions', 'machine'} <= set(result)
    assert {name: axis['values'] for name, axis in result['growth'].items()} == axes
    assert all(axis['memory_law']['slope'] > 0 for axis in result['growth'].values())
    assert (tmp_path / 'growth.svg').read_text().count('time steps T') == 1


def test_sparse_conv(run, tmp_path):
    layer = 'SEW-ResNet-18, layer1'
    plot = tmp_path / 'plot.svg'
    result = run('bench_sparse_conv.py', '--layers', layer, '--maps', 1, '--repeats', 1, '--plot', plot)
    assert {'speedup', 'speedup_min', 'versions', 'machine'} <= set(result) and set(result['layers']) == {layer}
    assert set(result['layers'][layer]) == {'forward', 'ordered', 'weight_grad'}
    for row in result['layers'][layer].values():
        assert row['dense']['median_ms'] > 0 and len(row['sparse']) == len(result['densities'])
    assert layer in plot.read_text()


def test_sparse_conv_compares_before(run, monkeypatch):
    monkeypatch.setattr(sparse_conv, 'weight_grad', lambda x, grad, weight, stride: torch.zeros_like(weight))
    with pytest.raises(AssertionError, match='not close'):
        run('bench_sparse_conv.py', '--layers', 'SEW-ResNet-18, layer1', '--maps', 1, '--repeats', 1)


def test_tables_are_those_of_the_runs(monkeypatch, tmp_path):
    """Written anew from the results in the repository, where no teacher is."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)
    writer = importlib.import_module('write_tables')
    assert set(writer.AUTHORS) == set(methods()) - {'hard_kd', 'soft_token'}
    for name, comparisons in writer.PAGES.items():
        page = (writer.DOCS / name).read_text(encoding='utf-8')
        again, pictures = writer.written(page, comparisons)
        assert again == page
        for file, picture in pictures.items():
            assert f'_static/{file}' in page and picture.startswith(b'<?xml')
            assert (writer.DOCS / '_static' / file).exists()
        with pytest.raises(SystemExit, match='needs one place for the table'):
            writer.written('', comparisons)


def test_mistakes_are_counted_and_drawn(small_comparison, monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    drawer = importlib.import_module('draw_mistakes')
    monkeypatch.setattr(drawer, 'STATIC', tmp_path)
    monkeypatch.setattr(drawer, 'RESULTS', tmp_path)
    monkeypatch.setattr(sys, 'argv', ['draw_mistakes.py', str(small_comparison), '--out', 'small'])
    drawer.main()
    assert {file.name for file in tmp_path.iterdir()} == {
        'learning_small.svg', 'confusion_small.svg', 'pictures_small.png', 'mistakes_small.json'}
    found = json.loads((tmp_path / 'mistakes_small.json').read_text())
    for name, seeds in found['accuracy'].items():
        assert list(seeds) == ['0', '1']
        matrix = torch.tensor(found['confusion'][name])
        assert matrix.sum() == found['samples']
        assert 100 * matrix.trace() / found['samples'] == pytest.approx(sum(seeds.values()) / 2, abs=1e-4)
    assert 'are right by all seeds of mixed and by none of plain' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--method', 'kd'])
    with pytest.raises(ValueError, match='no kept runs of kd'):
        drawer.main()


def test_the_block_is_watched_and_drawn(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    drawer = importlib.import_module('draw_block')
    monkeypatch.setattr(drawer, 'PICTURE', tmp_path / 'block.svg')
    monkeypatch.setattr(drawer, 'RESULTS', tmp_path / 'block.json')
    monkeypatch.setattr(sys, 'argv', ['draw_block.py', '--seeds', '1', '--epochs', '3'])
    drawer.main()
    runs = json.loads((tmp_path / 'block.json').read_text())['runs']
    assert [(run['lr_mult'], run['seed'], len(run['distance'])) for run in runs] == [(1, 0, 3), (0.1, 0, 3)]
    for run in runs:
        assert 0 <= run['dead'] <= run['channels'] == 128 and 0 < run['teacher_variance'] < run['distance'][0]
    # The block overshoots in its third step.
    assert runs[0]['distance'][1] > 2 * runs[1]['distance'][1] > 0
    assert '<svg' in (tmp_path / 'block.svg').read_text() and 'channels are dead' in capsys.readouterr().out


def test_answers_that_no_seed_of_the_other_has(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    drawer = importlib.import_module('draw_mistakes')
    labels = torch.tensor([0, 0, 1, 1])

    def answers(*classes):
        return Answers(torch.nn.functional.one_hot(torch.tensor(classes), 2).float()[None], labels)

    plain, method = {0: answers(1, 0, 0, 0), 1: answers(1, 0, 1, 0)}, {0: answers(0, 1, 1, 0), 1: answers(0, 1, 1, 0)}
    assert drawer.told_apart(plain, method) == dict(method=[0], plain=[1])
    assert drawer.most_changed(plain, method, 3) == [0, 2] and drawer.most_changed(plain, method, 1) == [0]
    assert drawer.mistakes(plain).tolist() == [[1, 1], [1.5, 0.5]] and drawer.usual(plain, 0) == 1


def test_predict(run):
    result = run('bench_predict.py', '--size', 32, '--batch-size', 2, '--time-steps', 2, '--repeats', 1)
    assert {'speedup', 'speedup_min', 'ann_ratio', 'ann_ratio_min', 'versions', 'machine'} <= set(result)
    assert set(result['times']) == {'dense', 'sparse', 'ann', *(f'{side}_step_{count}' for side in ('dense', 'sparse')
                                                                for count in (1, 2))}
    assert len(result['exit_ratios']) == 2 and 0 < result['firing_rate'] < 1


def test_predict_compares_before(run, monkeypatch):
    convolve = sparse_conv.convolve
    monkeypatch.setattr(sparse_conv, 'convolve', lambda *args: None if (y := convolve(*args)) is None else 1.01 * y)
    with pytest.raises(AssertionError, match='not close'):
        run('bench_predict.py', '--size', 32, '--batch-size', 2, '--time-steps', 2, '--repeats', 1)


STEP = {'ours', 'ours_compressed', 'ours_channels_last', 'ours_sparse', 'checkpointed', 'ann', 'ann_channels_last',
        'spikingjelly', 'plain', 'distilled', 'distilled_with_teacher',
        *(['ours_bf16'] if cpu_computes_in_bfloat16() else [])}
STEP_RATIOS = {'speedup', 'speedup_min', 'ann_ratio', 'saved_bytes_ratio', 'ann_saved_bytes_ratio', 'distill_overhead',
               'checkpointed_time_ratio', 'peak_bytes_ratio', 'checkpointed_peak_bytes_ratio'}
NEURON_RATIOS = {'speedup', 'speedup_min', 'speedup_compiled', 'bound_ratio'}
OTHERS = ('ILIF', 'SFA', 'CLIF', 'GLIF', 'PSN', 'MaskedPSN', 'SlidingPSN')


@pytest.mark.parametrize('arguments, sides, ratios', [
    (('bench_neuron.py', '--repeats', 1, '--shape', 2, 3, 50), {'IF', 'LIF', 'PLIF'}, NEURON_RATIOS),
    (('bench_neuron.py', '--repeats', 1, '--shape', 4, 4, 3, 5, 5, '--neurons', *OTHERS), {*OTHERS}, NEURON_RATIOS),
    (('bench_step.py', '--network', 'maxformer-4-384', '--repeats', 1, '--batch-size', 2, '--time-steps', 2), STEP,
     STEP_RATIOS),
    (('bench_step.py', '--network', 'e-spikeformer-s', '--repeats', 1, '--batch-size', 2, '--size', 32), STEP,
     STEP_RATIOS),
    (('bench_step.py', '--repeats', 1, '--batch-size', 2, '--size', 32, '--time-steps', 2, '--cached-teacher'),
     {*STEP, 'distilled_cached', 'read'},
     {*STEP_RATIOS, 'distill_cached_ratio', 'distill_cached_ratio_min', 'cache_read_ratio'}),
    (('bench_memory.py', '--configs', 'demo/plain', '--batch-size', 4, '--size', 32),
     {'ours', 'ours_channels_last', 'spikingjelly'}, {'plan_error', 'saved_bytes_ratio', 'peak_ratio'}),
])
def test_against_spikingjelly(run, arguments, sides, ratios):
    """With spikingjelly where it is installed; without, the command that installs it is named."""
    if importlib.util.find_spec('spikingjelly') is None:
        with pytest.raises(SystemExit, match='pip install --no-deps spikingjelly==2.0.0 loguru'):
            run(*arguments)
        return
    result = run(*arguments)
    assert ratios | {'versions', 'machine'} <= set(result) and set(result.get('times') or result['sides']) == sides
    if arguments[0] == 'bench_step.py':
        shares = list(result['profile'].values())
        assert sum(shares) == pytest.approx(1) and all(share > 0 for share in shares[:3])  # the kinds of convolutions


@pytest.mark.parametrize('recipe, arguments', [
    ('spikingformer', ('--batch-size', 2)), ('sew-resnet', ('--batch-size', 2, '--size', 32, '--time-steps', 2))])
def test_against_the_authors(run, recipe, arguments):
    """Where ``BKDSNN_AUTHORS`` is a checkout of their repository."""
    repo = os.environ.get('BKDSNN_AUTHORS')
    if not repo or importlib.util.find_spec('spikingjelly') is None:
        pytest.skip('needs spikingjelly and BKDSNN_AUTHORS=PATH')
    result = run('bench_authors.py', '--repo', repo, '--recipe', recipe, '--repeats', 1, *arguments)
    sides = {'authors', 'authors_distilled', 'ours', 'ours_distilled', 'ours_cached'}
    assert set(result['times']) == set(result['peak_bytes']) == set(result['images_per_second']) == sides
    keys = {'speedup_plain', 'speedup_distilled', 'speedup_cached', 'memory_ratio', 'versions', 'machine'}
    assert keys <= set(result)
    assert set(result['errors']) == {'loss_cls', 'loss_bkd', 'loss_wsld', 'gradients'}


AUTHORS_FILES = ('Spikingformer-CML/cifar10/model.py', 'Spikingformer-CML/cifar100/loss.py')


def test_a_folder_without_the_authors_code_is_named(run, tmp_path):
    with pytest.raises(SystemExit, match=f"--repo {tmp_path} is no checkout of the authors' repository, as it has no "
                                         f'{AUTHORS_FILES[0]}: git clone https://github.com/'):
        run('bench_authors.py', '--repo', tmp_path)


@pytest.mark.parametrize('model, message', [
    ('', "model.py is not as the authors .* AttributeError: .* 'Spikingformer'"),
    ('import no_such_package', "model.py is not as the authors .* ModuleNotFoundError: .* 'no_such_package'"),
    ('from spikingjelly.clock_driven.neuron import MultiStepLIFNode as Spikingformer',
     "loss.py is not as the authors .* AttributeError: .* 'BRDLoss'")])
def test_other_code_than_the_authors_is_named(run, tmp_path, model, message):
    """Without spikingjelly, the command that installs it is named."""
    for file, text in zip(AUTHORS_FILES, (model, '')):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    before = set(sys.modules)
    if importlib.util.find_spec('spikingjelly') is None:
        message = 'pip install --no-deps spikingjelly==2.0.0 loguru'
    with pytest.raises(SystemExit, match=message):
        run('bench_authors.py', '--repo', tmp_path)
    assert not any('clock_driven' in name or 'authors_' in name for name in set(sys.modules) - before)


def test_the_page_is_written_from_the_results(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    write_page = importlib.import_module('write_page')
    monkeypatch.setattr(write_page, 'RESULTS', tmp_path)
    monkeypatch.setattr(write_page, 'PAGE', tmp_path / 'page.md')
    times = dict(ours=dict(median_ms=12.34, minimum_ms=11.0))
    result = dict(speedup=1.234, times=times, profile={'neurons': 0.123, 'the rest': 0.877},
                  saved_bytes=dict(ours=3 * 2**20), versions=dict(torch='2'), machine='m', date='2026-01-02')
    (tmp_path / 'step-sew-resnet18.json').write_text(json.dumps(result))
    write_page.write_page()
    page = (tmp_path / 'page.md').read_text()
    assert '`python benchmarks/bench_step.py --compile --cached-teacher`' in page and '| `speedup` | 1.23 |' in page
    assert '| neurons | 12 % |' in page and '| ours | 12 (11) | 3 |' in page and '(m; torch 2; 2026-01-02.)' in page
    assert page.endswith('### GPU\n\n`python benchmarks/bench_gpu.py`\n\nNot run.\n')


def test_the_page_has_what_was_measured_on_a_gpu(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    write_page = importlib.import_module('write_page')
    monkeypatch.setattr(write_page, 'RESULTS', tmp_path)
    monkeypatch.setattr(write_page, 'PAGE', tmp_path / 'page.md')
    times = {side: dict(median_ms=ms, minimum_ms=ms - 1)
             for side, ms in dict(ours=2.0, spikingjelly=9.0, ann=1.5, **{'spikingjelly, storage bf16': 3.0}).items()}
    neuron = dict(times=times, fastest='spikingjelly, storage bf16', speedup=1.5, share_of_copy=dict(ours=0.85))
    option = dict(median_ms=2.0, minimum_ms=1.0, peak_mib=1234.0, host_ms=1.0)
    sections = {
        'card': dict(card='NVIDIA X', copy_gb_per_s=3000.0, cuda='13.0', driver='580.1', packages=dict(triton='3.6')),
        'neuron LIF': dict(fp32=dict(failed={}, forward=neuron), bf16=dict(failed=dict(ours=['no'])), seconds=1.0),
        'step sew-resnet18 bf16': dict(
            batch_size=32, times=times, chosen=dict(ours='plain', spikingjelly='plain'), speedup=4.5, ann_ratio=0.33,
            options=dict(ours=dict(plain=option), spikingjelly=dict(plain=option), ann={})),
        'step sew-resnet34 bf16': dict(error=['broken'], options={}),
        'recipe a': dict(dict(option, batch_size=128, dtype='torch.bfloat16', images_per_second=777.0)),
        'profile a': dict(ms=10.0, launches=20.0, kernels=[dict(name='f<a|b>', ms=5.0, calls=2.0, share=0.5)])}
    (tmp_path / 'gpu.json').write_text(json.dumps(dict(
        sections=sections, failed=['step sew-resnet34 bf16'], skipped=['neuron others'], versions=dict(torch='2'),
        date='2026-01-02', neuron_share_of_copy=0.85)))
    write_page.write_page()
    page = (tmp_path / 'page.md').read_text()
    assert '| 0.85 | of the rate of copies that a neuron reaches, at least 0.8 wanted |' in page
    assert '| LIF | fp32 | forward | 2 (1) | 0.85 | 3 (2) | spikingjelly, storage bf16 | 1.5 |' in page
    assert ('| sew-resnet18 bf16, 32 images | 2 (1) | 1234 | plain | 9 (8) | 1234 | plain | 1.5 (0.5) | 0 |  | 4.5 | '
            '0.33 |' in page)
    assert '| a | 128 | bfloat16 | 2 (1) | 777 | 1234 |' in page and '| `f<a/b>` | 5.00 | 2 | 50% |' in page
    assert 'Failed: step sew-resnet34 bf16.' in page and 'Not run for lack of time: neuron others.' in page
    assert '(NVIDIA X, which copies 3000 GB/s; torch 2, CUDA 13.0, driver 580.1, triton 3.6; 2026-01-02.)' in page


def test_sections_outlive_failures_and_the_end_of_the_time(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    sections = importlib.import_module('sections')
    run = sections.Sections(dict(date='today'), minutes=1, out=tmp_path / 'out.json')

    def fails(report):
        report['found'] = 1
        raise ValueError('what is wrong')

    def hangs(report):
        report['found'] = 2
        try:
            time.sleep(60)
        except Exception:  # as a compiler may that falls back
            report['caught'] = True

    run.run('fails', fails)
    assert json.loads((tmp_path / 'out.json').read_text())['failed'] == ['fails']
    run.end = time.monotonic() + 1
    for name in ('hangs', 'late'):
        run.run(name, hangs)
    written = json.loads((tmp_path / 'out.json').read_text())
    assert written == run.result and written['date'] == 'today'
    assert written['failed'] == ['fails', 'hangs'] and written['skipped'] == ['late']
    assert written['sections']['fails']['found'] == 1
    assert written['sections']['fails']['error'][-1] == 'ValueError: what is wrong'
    assert written['sections']['hangs']['error'][0] == 'The time was up.'
    assert 'caught' not in written['sections']['hangs'] and set(written['sections']) == {'fails', 'hangs'}


@pytest.mark.parametrize('arguments, message', [
    ((), 'there is no GPU; --device cpu --smoke shows that the script runs'),
    (('--device', 'cpu', '--out', 'no/such/folder.json'), 'no/such/folder.json: there is no such folder')])
def test_gpu_arguments(run, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit):
        run('bench_gpu.py', *arguments)
    assert message in capsys.readouterr().err


def test_gpu_on_a_cpu(run, tmp_path):
    """With spikingjelly where it is installed; without, the command that installs it is named."""
    arguments = ('bench_gpu.py', '--device', 'cpu', '--smoke', '--time-steps', 1, '--out', tmp_path / 'gpu.json',
                 '--sections', 'card', 'step sew-resnet18 tf32')
    if importlib.util.find_spec('spikingjelly') is None:
        with pytest.raises(SystemExit, match='pip install --no-deps spikingjelly==2.0.0 loguru'):
            run(*arguments)
        return
    result = run(*arguments)
    assert result == json.loads((tmp_path / 'gpu.json').read_text()) and not result['failed'] and not result['skipped']
    assert list(result['sections']) == ['card', 'step sew-resnet18 tf32']
    step = result['sections']['step sew-resnet18 tf32']
    assert set(step['times']) == set(step['chosen']) == {'ours', 'spikingjelly', 'ann'} and not step['failed']
    assert {'speedup', 'speedup_min', 'ann_ratio', 'ann_ratio_min'} <= set(step)


@pytest.mark.parametrize('kind', ['LIF', 'IF', 'PLIF'])
def test_spikingjellys_neurons_are_built_for_a_gpu_too(monkeypatch, kind):
    """Without it, as if its neurons were ours: what fails there is a row of the table, and no error."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    neurons, bench = importlib.import_module('gpu_neurons'), importlib.import_module('bench_neuron')
    stood_in = []

    def stand_in(kind, surrogate, like):
        stood_in.append(like)
        return bench.ours(kind, surrogate, 'eager')

    inspect.signature(bench.spikingjellys).bind(kind, neurons.SURROGATES[kind], torch.nn.Identity())
    monkeypatch.setattr(bench, 'spikingjellys', stand_in)
    node = neurons.theirs(kind, None, 'cpu')
    assert type(node) is type(stood_in[0]) and node(torch.ones(2, 1, 3)).shape == (2, 1, 3)


def test_a_failing_benchmark_leaves_the_page(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    write_page = importlib.import_module('write_page')
    monkeypatch.setattr(write_page, 'RESULTS', tmp_path)
    monkeypatch.setitem(write_page.COMMANDS, 'import', ['bench_import.py', '--no-such-option'])
    with pytest.raises(SystemExit, match='bench_import.py failed; the page is as it was'):
        write_page.run('import')
    assert not list(tmp_path.iterdir())
