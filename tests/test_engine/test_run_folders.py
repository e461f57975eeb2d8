"""What a run does with its folder: copies, other runs in it, and kills."""
import errno
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from bkdsnn.apis.cli import build_runner
from bkdsnn.apis.launch import Training
from bkdsnn.checkpoints.files import latest_checkpoint, load_file
from bkdsnn.checkpoints.progress import Progress
from bkdsnn.engine import atomic_backend
from bkdsnn.engine.hooks import CheckpointHook
from bkdsnn.runs import lock
from bkdsnn.runs.folders import Run
from bkdsnn.runs.lock import locked
from bkdsnn.runs.logs import val_lines
from helpers import TOOLS, assert_same_checkpoint, demo_config, logged_by, run_tool


def config(folder, epochs=2, **options):
    return demo_config('plain', folder, epochs=epochs, **{
        'train_cfg.val_interval': 1, 'val_dataloader.dataset.indices': 100, 'train_dataloader.batch_size': 100,
        'model.backbone.arch.widths': (4, 4, 8), 'model.head.in_channels': 8, 'optim_wrapper.optimizer.lr': 0.3,
        'default_hooks.checkpoint.save_best': 'accuracy/top1', **options})


def with_scores(runner, scores):
    """Have validations find these scores."""
    runner.val_loop.evaluator.evaluate = lambda size: {'accuracy/top1': scores.pop(0)}
    return runner


def train(cfg, *scores):
    with_scores(build_runner(cfg), list(scores)).train()


def resume(cfg, checkpoint, *scores):
    cfg.merge_from_dict(dict(resume=True, load_from=str(checkpoint)))
    train(cfg, *scores)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix in ('.pth', '.partial'))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run of two epochs, the second better."""
    folder = tmp_path_factory.mktemp('finished') / 'work'
    train(config(folder), 10.0, 20.0)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    shutil.copytree(finished, tmp_path / 'work')
    return tmp_path / 'work'


# ---- copies ----

def test_a_resumed_copy_leaves_the_original_as_it_is(run, tmp_path):
    shutil.copytree(run, tmp_path / 'copy')
    before = names(run)
    resume(config(tmp_path / 'copy', epochs=4), tmp_path / 'copy' / 'epoch_2.pth', 30.0, 5.0)
    assert names(run) == before and 'best_accuracy_top1_epoch_2.pth' in before
    # In the copy, the better one has replaced the best.
    assert names(tmp_path / 'copy') == ['best_accuracy_top1_epoch_3.pth', 'epoch_3.pth', 'epoch_4.pth']


def test_a_best_score_counts_where_its_checkpoint_is(run, tmp_path):
    """In the same folder a worse one does not replace it; in another the best is looked for anew."""
    resume(config(run, epochs=3), run / 'epoch_2.pth', 15.0)
    assert 'best_accuracy_top1_epoch_2.pth' in names(run)
    resume(config(tmp_path / 'other', epochs=3), run / 'epoch_2.pth', 15.0)
    assert names(tmp_path / 'other') == ['best_accuracy_top1_epoch_3.pth', 'epoch_3.pth']
    (log, ) = (tmp_path / 'other').glob('*/*.log')
    assert 'best_accuracy_top1_epoch_2.pth with 20.0, is not in' in log.read_text()


# ---- what is replaced ----

def test_a_checkpoint_is_removed_when_what_replaces_it_is_there(tmp_path, monkeypatch):
    """At each moment that something is written, two epochs (from the third on) and a best one are whole."""
    seen, write = [], atomic_backend.write_atomically

    def look(path, *args, **kwargs):
        seen.append((Path(path).name, names(tmp_path)))
        write(path, *args, **kwargs)

    monkeypatch.setattr(atomic_backend, 'write_atomically', look)
    train(config(tmp_path, epochs=3), 10.0, 20.0, 30.0)
    before = dict((name, there) for name, there in seen)
    assert before['best_accuracy_top1_epoch_3.pth'] == ['best_accuracy_top1_epoch_2.pth', 'epoch_2.pth', 'epoch_3.pth']
    assert {'epoch_1.pth', 'epoch_2.pth'} <= set(next(there for name, there in seen if name == 'epoch_3.pth'))
    assert names(tmp_path) == ['best_accuracy_top1_epoch_3.pth', 'epoch_2.pth', 'epoch_3.pth']


def test_half_written_checkpoints_are_removed_and_others_partial_files_are_not(run):
    for name in ('.epoch_2.pth.0123456789ab.partial', '.last_checkpoint.0123456789ab.partial', '.mine.partial'):
        (run / name).write_text('half')
    resume(config(run, epochs=3), run / 'epoch_2.pth', 5.0)
    assert list(run.glob('.*.partial')) == [run / '.mine.partial']


# ---- which checkpoint is the latest ----

def dump(cfg, folder):
    """The config as tools/train.py leaves it in a work directory, and where it was started with; its training."""
    path = str(folder.parent / 'config_of_test.py')
    cfg.dump(path)
    for split in ('train', 'val', 'test'):
        if cfg[f'{split}_dataloader'] is not None:
            cfg[f'{split}_dataloader'].pin_memory = False
    touch(folder, ('epoch_1.pth', 1))
    cfg.dump(str(folder / 'config_of_test.py'))
    return Training(path, str(folder), {})


def touch(folder, *files):
    folder.mkdir(exist_ok=True)
    for name, steps in files:
        torch.save(dict(meta=dict(iter=steps)), folder / name)


@pytest.mark.parametrize('files, record, expected', [
    ([('iter_3.pth', 3)], None, 'iter_3.pth'),
    ([('iter_3.pth', 3), ('iter_12.pth', 12)], '', 'iter_12.pth'),
    ([('iter_7.pth', 7), ('epoch_2.pth', 10)], None, 'epoch_2.pth'),
    ([('iter_12.pth', 12), ('epoch_2.pth', 10)], None, 'iter_12.pth'),
    ([('iter_12.pth', 12), ('epoch_2.pth', 10)], '/elsewhere/epoch_2.pth', 'epoch_2.pth'),
    ([('epoch_9.pth', 9), ('epoch_10.pth', 10)], '/elsewhere/epoch_11.pth', 'epoch_10.pth'),
    ([('best_accuracy_epoch_3.pth', 3), ('my_net.pth', 3), ('epoch_last.pth', 3)], None, None),
])
def test_the_latest_checkpoint_is_found_by_epoch_and_by_step(tmp_path, files, record, expected):
    touch(tmp_path, *files)
    if record is not None:
        (tmp_path / 'last_checkpoint').write_text(record)
    assert latest_checkpoint(tmp_path) == (expected and str(tmp_path / expected))


def test_checkpoints_that_are_written_elsewhere_are_found(tmp_path):
    cfg = config(tmp_path / 'work', 1, **{'default_hooks.checkpoint.out_dir': str(tmp_path / 'big')})
    train(cfg, 1.0)
    latest = latest_checkpoint(tmp_path / 'work')
    assert latest == str(tmp_path / 'big' / 'work' / 'epoch_1.pth') and Run(tmp_path / 'work', cfg).finished
    cfg.train_cfg.max_epochs = 2
    resume(cfg, latest, 2.0)
    assert Run.open(tmp_path / 'work').epoch == 2 and len(val_lines(Run.open(tmp_path / 'work'))) == 2


def test_of_two_configs_in_a_folder_the_run_has_the_last_that_was_written(tmp_path):
    for name, rate in (('b', 0.1), ('c', 0.2), ('a', 0.3)):
        config(tmp_path / 'work', **{'optim_wrapper.optimizer.lr': rate}).dump(str(tmp_path / f'{name}.py'))
    for age, name in enumerate('cab'):
        os.utime(tmp_path / f'{name}.py', (1e9 - age, 1e9 - age))
    assert Run.open(tmp_path).config.optim_wrapper.optimizer.lr == 0.2


@pytest.mark.parametrize('absent', ['test_dataloader', 'val_dataloader'])
def test_a_run_without_a_test_or_a_validation_is_known_to_be_finished(tmp_path, absent):
    split = absent.partition('_')[0]
    cfg = config(tmp_path / 'work', 1, **{f'{split}_{part}': None for part in ('dataloader', 'cfg', 'evaluator')})
    if split == 'val':
        cfg.default_hooks.checkpoint.save_best = None
    cfg.model.teacher = None  # as one that is switched off
    assert dump(cfg, tmp_path / 'work').done()


@pytest.mark.parametrize('change, resumes', [({}, True), ({'optim_wrapper.optimizer.lr': 0.1}, False)])
def test_a_training_that_was_interrupted_goes_on(run, tmp_path, monkeypatch, change, resumes):
    """And one of other settings begins."""
    started = []
    monkeypatch.setattr('bkdsnn.apis.launch.subprocess.Popen', lambda *what, **given: started.append((what, given)))
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    (run / 'output.log').write_text('so far')
    path, cfg = str(next(run.glob('*.py'))), Run.open(run).config
    cfg.merge_from_dict({'work_dir': str(run), 'train_cfg.max_epochs': 3, **{
        f'{split}_dataloader.pin_memory': False for split in ('train', 'val', 'test')}})
    cfg.dump(path)
    training = Training(path, str(run), change)
    assert not training.done()
    training.start(threads=1)
    ((command, ), given), = started
    assert ('--resume' in command) == resumes and given['env']['OMP_NUM_THREADS'] == '3'
    assert (run / 'output.log').read_text() == ('so far' if resumes else '')
    monkeypatch.delenv('OMP_NUM_THREADS')
    training.start(threads=2)
    assert started[1][1]['env']['OMP_NUM_THREADS'] == '2'


def test_a_run_is_not_finished_once_one_of_its_teachers_is_newer(tmp_path):
    cfg = demo_config('mixed', tmp_path / 'work', epochs=1)
    names = ('one', 'two')
    cfg.model.teacher = dict(type='TeacherEnsemble', teachers={
        name: dict(cfg.model.teacher, checkpoint=str(tmp_path / f'{name}.pth')) for name in names})
    touch(tmp_path, *((f'{name}.pth', 1) for name in names))
    training = dump(cfg, tmp_path / 'work')
    for name in names:
        os.utime(tmp_path / f'{name}.pth', (1e9, 1e9))
    assert training.done()
    os.utime(tmp_path / 'two.pth')
    os.utime(tmp_path / 'work' / 'epoch_1.pth', (1e9 + 1, 1e9 + 1))
    assert not training.done()


def test_a_run_is_not_resumed_from_one_that_was_in_its_folder_before(run, monkeypatch):
    """Killed before its first checkpoint, it has none, though the folder has, and it is not finished."""
    assert Run.open(run).finished
    monkeypatch.setattr(CheckpointHook, '_save_checkpoint', lambda *args: None)
    cfg = config(run, **{'default_hooks.checkpoint.save_best': None})
    train(cfg, 1.0, 2.0)
    assert 'epoch_2.pth' in names(run) and latest_checkpoint(run) is None and not Run(run, cfg).finished
    monkeypatch.undo()
    train(cfg, 1.0, 2.0)
    assert latest_checkpoint(run) == str(run / 'epoch_2.pth') and Run(run, cfg).finished
    # The one that it has not replaced is still not its own.
    assert Progress.of(run).others == ['best_accuracy_top1_epoch_2.pth']


def test_resuming_without_a_checkpoint_begins_as_without(run, tmp_path):
    """With the weights that the config starts from, and not with what another run has left in the folder."""
    (tmp_path / 'weights').mkdir()
    shutil.copy(run / 'epoch_1.pth', tmp_path / 'weights')
    Progress(others=names(run)).save(run)
    cfg = config(run, load_from=str(tmp_path / 'weights' / 'epoch_1.pth'))
    cfg.dump(str(tmp_path / 'config_of_test.py'))
    for folder, arguments in ((run, ['--resume']), (tmp_path / 'other', [])):
        done = run_tool('tools/train.py', tmp_path / 'config_of_test.py', '--work-dir', folder, *arguments)
        assert done.returncode == 0, done.stderr[-2000:]
    assert_same_checkpoint(*(load_file(str(folder / 'epoch_2.pth')) for folder in (run, tmp_path / 'other')))


# ---- validation ----

def test_a_last_validation_that_was_interrupted_is_done_when_the_run_is_resumed(tmp_path):
    cfg = config(tmp_path, epochs=2)
    runner = with_scores(build_runner(cfg), [10.0])  # the second one fails

    with pytest.raises(IndexError):
        runner.train()
    assert Run(tmp_path, cfg).epoch == 2 and not Run(tmp_path, cfg).finished
    for scores in ([20.0], []):  # and not once more
        resume(cfg, tmp_path / 'epoch_2.pth', *scores)
        assert [line['accuracy/top1'] for line in val_lines(Run(tmp_path, cfg))] == [10.0, 20.0]
    assert Run(tmp_path, cfg).finished and 'best_accuracy_top1_epoch_2.pth' in names(tmp_path)
    assert load_file(str(tmp_path / 'epoch_2.pth'))['message_hub']['runtime_info']['best_score'] == 20.0


def test_training_by_steps_does_its_interrupted_validation_too(tmp_path):
    cfg = config(tmp_path, custom_hooks=[], **{
        'default_hooks.checkpoint.by_epoch': False, 'default_hooks.logger.log_metric_by_epoch': False})
    cfg.train_cfg = dict(by_epoch=False, max_iters=4, val_interval=2)
    runner = with_scores(build_runner(cfg), [10.0])
    with pytest.raises(IndexError):
        runner.train()
    for scores in ([20.0], []):
        resume(cfg, tmp_path / 'iter_4.pth', *scores)
    assert [line['accuracy/top1'] for line in val_lines(Run(tmp_path, cfg))] == [10.0, 20.0]


def test_runs_of_earlier_versions_are_finished_as_they_were(run):
    (run / 'progress.json').unlink()
    assert Run.open(run).finished


def test_a_schedule_that_follows_the_metrics_gets_those_of_the_last_validation(tmp_path):
    """The checkpoint is from before that validation."""
    rates = []
    for folder, parts in ((tmp_path / 'whole', [[10.0, 5.0, 4.0]]), (tmp_path / 'parts', [[10.0, 5.0], [5.0, 4.0]])):
        cfg = config(folder, 3, **{'default_hooks.checkpoint.save_best': None, 'param_scheduler': [
            dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', patience=0)]})
        if len(parts) == 2:
            with pytest.raises(IndexError):  # as if it was killed then
                train(cfg, *parts[0])
            resume(cfg, folder / 'epoch_2.pth', *parts[1])
        else:
            train(cfg, *parts[0])
        rates.append(load_file(str(folder / 'epoch_3.pth'))['optimizer']['param_groups'][0]['lr'])
    assert rates[0] == rates[1] < 0.3


# ---- two runs in one folder ----

def hold(folder):
    with locked(folder):
        Path(folder, 'held').touch()
        time.sleep(60)


def test_a_second_run_is_refused_until_the_first_has_ended_however_it_ends(run, monkeypatch):
    monkeypatch.setattr(lock, 'PATIENCE', 0.1)
    first = TOOLS.Process(target=hold, args=(str(run), ))
    first.start()
    while not (run / 'held').exists():
        assert first.is_alive()
        time.sleep(0.01)
    before = {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
    message = r"work_dir='.*work' is in use by another run.*--work-dir"
    try:
        with pytest.raises(ValueError, match=message), locked(run):
            pass
        with pytest.raises(ValueError, match=message):
            Training('x.py', str(run), {}).start(1)
        with pytest.raises(ValueError, match=message), locked(run, 'pytorch'):
            pass
        monkeypatch.setenv('RANK', '1')
        with locked(run, 'pytorch'):  # the first process has it for all
            pass
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.join()
    assert before == {path: path.read_bytes() for path in run.rglob('*') if path.is_file()}
    monkeypatch.setattr(lock, 'PATIENCE', 10)
    with locked(run):
        pass


@pytest.mark.parametrize('error', [OSError(errno.ENOLCK, 'No locks available'), NotImplementedError('no flock')])
def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog, error):
    monkeypatch.setattr(FileLock, 'acquire', lambda *args, **kwargs: (_ for _ in ()).throw(error))
    said = logged_by(monkeypatch, lock)
    with locked(tmp_path):
        pass
    assert 'file system without locks' in said[0]
