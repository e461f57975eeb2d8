"""The comparison of methods: resumed, shared by workers, and equal to runs of tools/train.py."""
import errno
import json
import os
import shutil
import sqlite3
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import submitit
import torch
from filelock import FileLock

from bkdsnn import init_model
from bkdsnn.apis.evaluate import evaluate
from bkdsnn.checkpoints.files import load_file
from bkdsnn.comparison import Plan, launch, running
from bkdsnn.comparison.launch import compare, look
from bkdsnn.comparison.ledger import Ledger
from bkdsnn.comparison.pictures import write_pictures
from bkdsnn.comparison.render import markdown, write
from bkdsnn.comparison.running import follows_validation
from bkdsnn.comparison.work import work
from bkdsnn.config.files import read_config_file
from bkdsnn.config.methods import find_pair
from bkdsnn.datasets import FashionMNIST
from bkdsnn.report.reading import read_comparison
from bkdsnn.runs.folders import Run
from bkdsnn.utils.processor import usable_cores, visible_gpus
from helpers import DEMO, TOOLS, assert_same_checkpoint, run_tool, save_time

PAIR = 'sew-resnet-t2_resnet_digits'
NAMES = ['plain', 'kd']
# Of the search's two points, the better one gets one seed more.
FINALS = dict(finalists=1, final_seeds=1)


@pytest.fixture(scope='module')
def options(small_teacher):
    """The pair, small, with the teacher of the tests."""
    few = dict(train=5, val=5, test=2)
    few = {f'{split}_dataloader.dataset.labels_per_class': number for split, number in few.items()}
    return {**few, 'model.student.backbone.arch.widths': [4, 8, 16], 'model.student.head.in_channels': 16,
            'model.teacher.model': str(small_teacher / 'small.py'), 'model.teacher.checkpoint': str(small_teacher),
            'model.teacher.expected_accuracy': None, 'train_cfg.max_epochs': 2, 'default_hooks.checkpoint.interval': 1}


def small_plan(out, options, **changes):
    return Plan(**{**dict(pair=PAIR, methods=tuple(NAMES), out=str(out), seeds=2, points=2, tune_seeds=1,
                          options=options), **changes})


def in_background(plan):
    """A worker in a process of its own."""
    process = TOOLS.Process(target=_work, args=(plan, ))
    process.start()
    return process


def _work(plan):
    os.environ['CUDA_VISIBLE_DEVICES'] = ''
    save_time()
    work(plan, NAMES, threads=1)


def figures_of(plan):
    """What is known of each run, without what a second one changes."""
    times = ('step_time', 'train_time', 'date', 'machine')
    return {key: {name: value for name, value in line.items() if name not in times}
            for key, line in Ledger(plan.results).lines().items()}


@pytest.fixture(scope='module')
def finished(tmp_path_factory, options):
    """A comparison that two workers have carried out at once."""
    plan = small_plan(tmp_path_factory.mktemp('finished'), options, **FINALS)
    workers = [in_background(plan) for _ in range(2)]
    for worker in workers:
        worker.join(240)
        assert worker.exitcode == 0
    return plan


def test_two_workers_share_the_runs_and_repeat_none(finished):
    lines = [json.loads(line) for line in finished.results.read_text().splitlines()]
    keys = [(line['config_hash'], line['seed'], line['split']) for line in lines]
    assert len(keys) == len(set(keys)) == 2 * (2 + 1 + 2)
    assert {line['status'] for line in lines} == {'finished'}
    assert not list((finished.results.parent / 'running').iterdir())


def test_table_has_all_figures_of_all_seeds(finished):
    standings = look(finished)
    write(standings)
    out = finished.results.parent
    summary = json.loads((out / 'summary.json').read_text())
    kd, plain = summary['methods']['kd'], summary['methods']['plain']
    assert kd['gain']['mean'] == pytest.approx(sum(kd['accuracy'][s] - plain['accuracy'][s] for s in (0, 1)) / 2)
    assert kd['seeds'] == [0, 1] and len(kd['accuracy_over_time']) == 2 and kd['points'] == 2
    assert kd['accuracy_over_time'][-1] == pytest.approx(kd['mean'])
    assert plain['relative_step_time'] == 1.0 and kd['energy'] > 0 and kd['spikes'] > 0
    table = (out / 'table.md').read_text()
    assert '2 points for each method, 1 seed each, the best 1 with 1 more' in table
    assert table == markdown(standings) and all(f'{row["mean"]:.2f}' in table for row in (kd, plain))


def test_interrupted_comparison_goes_on_and_gives_the_same(finished, tmp_path, options):
    plan = small_plan(tmp_path, options, seeds=1, **FINALS)
    worker = in_background(plan)
    deadline = time.time() + 120
    while not (Ledger(plan.results).lines() and list(tmp_path.glob('running/*/epoch_1.pth'))):
        assert worker.is_alive() and time.time() < deadline
        time.sleep(0.01)
    worker.kill()
    worker.join()
    before = plan.results.read_text()
    assert 1 <= len(before.splitlines()) < 8
    standings = compare(plan, 'none')
    assert plan.results.read_text().startswith(before)  # nothing was done twice
    expected = {key: line for key, line in figures_of(finished).items() if key[1:] != (1, 'test')}
    assert figures_of(plan) == expected
    assert [row.name for row in standings.rows if row.lines] == [row.name for row in look(plan).rows]
    with sqlite3.connect(tmp_path / 'tuning.db') as database:
        assert database.execute("select count(*) from trials where state = 'COMPLETE'").fetchone() == (4, )


def test_neurons_are_compared_and_their_lines_say_which(tmp_path, options):
    plan = small_plan(tmp_path, options, neurons=('ilif', 'psn'), methods=('kd', ), points=0, seeds=1)
    compare(plan, 'none')
    lines = {line['neuron']: line for line in Ledger(plan.results).lines().values()}
    assert {name: len(line['accuracy_over_time']) for name, line in lines.items()} == dict(ilif=1, psn=2)
    assert {line['method'] for line in lines.values()} == {'kd'}
    assert 'ilif-kd' in markdown(look(plan))


def test_varied_numbers_are_trained_and_drawn(tmp_path, options):
    plan = small_plan(tmp_path, {**options, 'model.student.head.in_channels': 12,
                                 'model.student.backbone.arch.widths': [4, 8, 12]},
                      methods=('plain', 'bkd'), points=0, seeds=1, vary={
                          'losses.loss_bkd.restore': (False, True), 'losses.loss_bkd.align': (True, False)})
    standings = compare(plan, 'none')
    lines = Ledger(plan.results).lines().values()
    assert [line['variation'] for line in lines if line['status'] == 'finished'].count(None) == 1 and len(lines) == 4
    broken = next(row for row in standings.rows if row.name == 'bkd restore=False align=False')
    assert 'with align=False and restore=False nothing brings' in broken.reason and not broken.lines
    assert write_pictures(standings, tmp_path) == ['curves.svg']  # one seed has no interval
    picture = (tmp_path / 'curves.svg').read_text()
    assert 'losses.loss_bkd.restore' in picture and 'bkd align=True' in picture


def test_run_equals_that_of_the_training_tool(tmp_path, options, finished, capsys):
    plan = small_plan(tmp_path / 'out', options, seeds=1, points=0, keep=True)
    compare(plan, 'none')
    kept = Run.open(tmp_path / 'out' / 'kd' / 'seed0')
    settings = [f'{key}={json.dumps(value) if isinstance(value, list) else value}'.replace(' ', '')
                for key, value in options.items()]
    done = run_tool('tools/train.py', PAIR, '--method', 'kd', '--work-dir', tmp_path / 'tool', '--cfg-options',
                    *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    tool = Run.open(tmp_path / 'tool')
    assert_same_checkpoint(load_file(str(kept.checkpoint)), load_file(str(tool.checkpoint)))
    # Its figures are those of the test tool, and a report can be made of it.
    accuracy = evaluate(init_model(tool.config, str(tool.checkpoint)))
    (row, ) = [row for row in look(plan).rows if row.name == 'kd']
    assert row.accuracy == pytest.approx({0: accuracy})
    write(look(plan))
    assert {group.name: len(group.runs) for group in read_comparison([plan.out]).groups} == dict(plain=1, kd=1)
    shutil.rmtree(kept.folder)
    compare(plan, 'none')
    assert 'Of them without a folder, as they were not kept: 1;' in capsys.readouterr().out


def test_failures_and_methods_that_cannot_be_are_in_the_table_with_their_reasons(tmp_path, options, capsys):
    settings = {**options, 'optim_wrapper.clip_grad': None, 'optim_wrapper.optimizer.lr': 1e30,
                'train_dataloader.batch_size': 10}
    plan = Plan(PAIR, ('plain', 'hard_kd'), str(tmp_path), seeds=1, points=1, tune_seeds=1, options=settings)
    standings = compare(plan, 'none')
    text = markdown(standings)
    assert 'all 1 points failed: FloatingPointError: the loss is not finite' in text
    assert "the student has no module 'head.distilled'" in text
    (line, ) = Ledger(plan.results).lines().values()
    assert line['status'] == 'failed'
    (log, ) = tmp_path.glob('running/*/output.log')
    assert 'Traceback' in log.read_text()
    compare(plan, 'none')  # what has failed is not tried again,
    assert 'Failed runs: 1; --retry-failed trains them once more' in capsys.readouterr().out
    assert len(plan.results.read_text().splitlines()) == 1
    plan.results.write_text(json.dumps({**line, 'date': '2020-01-01T00:00:00Z'}) + '\n')
    compare(replace(plan, retry_before='2020-01-02T00:00:00Z'), 'none')  # unless it is asked for
    assert len(plan.results.read_text().splitlines()) == 2


def test_workers_are_started_by_submitit(tmp_path, options):
    plan = small_plan(tmp_path, options, methods=('plain', ), seeds=1, points=0)
    assert [len(row.lines) for row in compare(plan, 'local', jobs=1).rows] == [1]


@pytest.mark.parametrize('variable, count, names', [
    (None, 2, ['0', '1']), ('3, GPU-5f', 2, ['3', 'GPU-5f']), ('1,-1,0', 1, ['1']), ('', 0, [])])
def test_gpus_are_named_as_this_process_was_given_them(monkeypatch, variable, count, names):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if variable is not None:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', variable)
    assert visible_gpus() == names


@pytest.mark.parametrize('visible, given', [(['3', 'GPU-5f'], ['3', 'GPU-5f', '3']), ([], ['', '', ''])])
def test_each_worker_gets_one_of_this_process_gpus(tmp_path, monkeypatch, visible, given):
    monkeypatch.setattr(launch, 'visible_gpus', lambda: visible)
    monkeypatch.setattr(launch, 'work', lambda *arguments: os.environ['CUDA_VISIBLE_DEVICES'])
    jobs = launch._submit(SimpleNamespace(out=str(tmp_path)), [], 'leader', 'local', 3, {})
    assert [job.result() for job in jobs] == given
    count = len(launch._submit(SimpleNamespace(out=str(tmp_path)), [], 'leader', 'local', None, {}))
    assert count == (len(visible) or usable_cores())


def test_workers_that_die_without_a_result_are_an_error_and_others_are_started_anew(tmp_path, options, monkeypatch):
    plan = small_plan(tmp_path, options, methods=('plain', ), points=0)
    killed = SimpleNamespace(done=lambda: True, exception=lambda: RuntimeError('killed by signal 9'))
    started = []

    def submit(*arguments):
        started.append(plan)
        if len(started) == 1:  # one run, and then it dies
            work(replace(plan, seeds=1), ['plain'])
        return [killed]

    monkeypatch.setattr(launch, '_submit', submit)
    with pytest.raises(ChildProcessError, match='the workers ended before their work: killed by signal 9'):
        compare(plan)
    assert len(started) == 2 and len(Ledger(plan.results).lines()) == 1


def test_jobs_of_a_cluster_get_what_they_are_given(tmp_path, options, monkeypatch):
    sbatch = tmp_path / 'sbatch'
    sbatch.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/script\necho Submitted batch job 12\n')
    sbatch.chmod(0o755)
    (tmp_path / 'srun').symlink_to(sbatch)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    plan = small_plan(tmp_path / 'out', options)
    (job, ) = launch._submit(plan, ['kd'], 'unused', 'slurm', 1, dict(slurm_partition='gpu', timeout_min=600))
    script = (tmp_path / 'script').read_text()
    assert '#SBATCH --partition=gpu' in script and '#SBATCH --time=600' in script
    assert job.submission().function is work and job.submission().args == (plan, ['kd'])


def test_the_search_of_another_pair_chooses(finished, tmp_path, options):
    """Its runs are those of a comparison of that pair by itself, and are taken from there."""
    longer = tmp_path / 'longer.py'
    longer.write_text(f"_base_ = ['{find_pair(PAIR)}']\nparam_scheduler = dict(T_max=3)")
    out = tmp_path / 'out'
    plan = small_plan(out, options, pair=str(longer), tune_on=PAIR, seeds=1, **FINALS)
    out.mkdir()
    searched = [line for line in finished.results.read_text().splitlines(True) if '"split": "val"' in line]
    plan.results.write_text(''.join(searched))
    standings = compare(plan, 'none')
    new = [json.loads(line) for line in plan.results.read_text().splitlines()[len(searched):]]
    assert [(line['pair'], line['split'], line['seed']) for line in new] == [('longer', 'test', 0)] * 2
    chosen = {row.method: row.choice for row in look(finished).rows}
    assert {row.method: row.choice for row in standings.rows} == chosen
    assert {line['method']: line['point'] for line in new} == {name: chosen[name].point for name in NAMES}
    assert f'on the validation split of {PAIR}.' in markdown(standings)


@pytest.mark.parametrize('changes, words', [
    (dict(methods=('kd', 'kd')), "'kd' is named twice"), (dict(methods=('mixd', )), "Did you mean 'mixed'"),
    (dict(pair='sew'), 'tools/list_experiments.py'), (dict(pair=str(DEMO / 'plain.py')), 'no model.student'),
    (dict(seeds=0), 'seeds=0 must be at least 1'), (dict(finalists=-1), 'finalists=-1 must be at least 0'),
    (dict(finalists=3, points=0), 'finalists=3 are the best points of a search'),
    (dict(tune_on=PAIR, points=0), 'is where settings are searched, and points=0 makes no search'),
    (dict(tune_on='sew'), "there is no pair 'sew'"),
    (dict(options={'optim_wraper.lr': 1}), "Did you mean 'optim_wrapper'"),
    (dict(options={'model.losses.loss_kd.tau': 1}), r'--vary losses\.loss_kd\.tau=VALUE'),
    (dict(options={'model.losses.loss_kd.tau': 1}), 'give its path as a method'),
    (dict(options={'model.teacher.checkpoint': 'lost.pth'}), 'lost.pth')])
def test_bad_input_is_named_before_anything_is_trained(tmp_path, changes, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        compare(Plan(**{**dict(pair=PAIR, methods=('kd', ), out=str(tmp_path / 'out')), **changes}))
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('error', [
    submitit.core.utils.UncompletedJobError('timed-out and not checkpointable'), FileNotFoundError('data/digits'),
    OSError(errno.ENOSPC, 'no space'), RuntimeError('CUDA error: device-side assert triggered'),
    RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')], ids=str)
def test_what_the_machine_is_at_fault_for_leaves_a_run_open(tmp_path, options, monkeypatch, error):
    def broken(cfg):
        raise error

    plan = small_plan(tmp_path, options, methods=('plain', ), points=0)
    monkeypatch.setattr(running, 'train', broken)
    with pytest.raises(type(error)):
        work(plan, ['plain'])
    assert Ledger(plan.results).lines() == {}
    monkeypatch.undo()
    work(replace(plan, seeds=1), ['plain'])
    assert [line['status'] for line in Ledger(plan.results).lines().values()] == ['finished']


def test_a_run_that_loses_its_process_again_has_failed_and_others_go_on(tmp_path, options, monkeypatch):
    def broken(cfg):
        raise RuntimeError('CUDA error: out of memory')

    plan = small_plan(tmp_path, options, methods=('plain', ), points=0, seeds=1)
    monkeypatch.setattr(running, 'train', broken)
    with pytest.raises(RuntimeError, match='CUDA error'):
        work(plan, ['plain'])
    work(plan, ['plain'])
    (line, ) = Ledger(plan.results).lines().values()
    assert line['status'] == 'failed' and line['reason'] == 'RuntimeError: CUDA error: out of memory'


def test_training_that_follows_its_accuracy_is_validated_as_its_config_says():
    cfg = read_config_file(find_pair(PAIR))
    assert not follows_validation(cfg)
    scheduler = cfg.param_scheduler
    cfg.param_scheduler = [scheduler, dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater')]
    assert follows_validation(cfg)
    cfg.param_scheduler = scheduler
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='EarlyStoppingHook', monitor='accuracy/top1')]
    assert follows_validation(cfg)


def test_missing_data_are_named_before_any_run(tmp_path, monkeypatch):
    monkeypatch.setattr(FashionMNIST, 'system_folder', str(tmp_path / 'no package'))
    plan = Plan('sew-resnet-t4_resnet_fashion', ('plain', 'kd'), str(tmp_path / 'out'), points=0, options={
        f'{split}_dataloader.dataset.{key}': value for split in ('train', 'val', 'test')
        for key, value in dict(data_root=str(tmp_path / 'lost'), download=False).items()})
    with pytest.raises(FileNotFoundError, match='train_dataloader.dataset: .*lost'):
        compare(plan, 'none')
    assert not (tmp_path / 'out').exists()
    # A cluster's data may be on its nodes alone.
    monkeypatch.setattr(launch, '_run_workers', lambda *args: None)
    assert all(not row.lines for row in compare(plan, 'slurm').rows)


def test_runs_of_another_teacher_are_not_taken_for_those_of_this_one(finished, options, small_teacher, tmp_path):
    other = shutil.copytree(small_teacher, tmp_path / 'other')
    for checkpoint in other.glob('*.pth'):
        state = torch.load(checkpoint, weights_only=False)
        torch.save({**state, 'retrained': True}, checkpoint)
    plan = replace(finished, options={**options, 'model.teacher.checkpoint': str(other)}, seeds=3)
    before = plan.results.read_bytes()
    with pytest.raises(ValueError, match='kd in .*results.jsonl had a teacher whose weights begin with .* start anew'):
        compare(plan, 'none')
    assert plan.results.read_bytes() == before


def test_worker_ends_when_nobody_waits_for_it(tmp_path, options):
    plan = small_plan(tmp_path, options)
    work(plan, NAMES, leader=str(tmp_path / 'nobody.lock'))
    assert not plan.results.exists()


def test_two_commands_do_not_work_in_one_folder(tmp_path, options):
    with FileLock(tmp_path / 'command.lock'), pytest.raises(ValueError, match='another command works in'):
        compare(small_plan(tmp_path, options, methods=('plain', )), 'none')


def test_table_of_others_runs_needs_no_teacher(finished, options):
    elsewhere = {**options, 'model.teacher.checkpoint': 'lost.pth'}
    assert markdown(look(replace(finished, options=elsewhere))) == markdown(look(finished))
    more = look(replace(finished, options=elsewhere, methods=('plain', 'kd', 'wsld')))
    assert {row.name: 'lost.pth' in (row.reason or '') for row in more.rows} == dict(plain=False, kd=False, wsld=True)


def test_command_prints_the_table_of_what_is_there(finished, tmp_path):
    settings = [f'{key}={json.dumps(value) if isinstance(value, list) else value}'.replace(' ', '')
                for key, value in finished.options.items()]
    done = run_tool('tools/compare_methods.py', PAIR, '--methods', *NAMES, '--seeds', 2, '--points', 2, '--tune-seeds',
                    1, '--out', finished.out, '--table', '--cfg-options', *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(f'{row.mean("accuracy"):.2f}' in done.stdout for row in look(finished).rows)
    assert 'the best point lies on the edge of what was tried' in done.stdout
    assert (finished.results.parent / 'gains.svg').read_text().startswith('<?xml')
