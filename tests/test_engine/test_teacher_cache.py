"""Runs with a teacher's cache: bit for bit those without, over epochs, resumes and processes."""
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from bkdsnn.apis.cli import build_checked_runner
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.cache_filling import fill, fill_in_processes, prepare, show
from bkdsnn.engine.teacher_cache import cache_of
from bkdsnn.models.teachers.cache import cache
from bkdsnn.registry import MODELS
from helpers import DEMO, MIXUP, assert_same_checkpoint, demo_config, logged_by, run_in_processes, run_tool, save_time

EPOCHS, REPEATED = 3, 2


def config(work_dir, teacher, folder=None, **options):
    """A distillation with mixup, two steps an epoch, whose draws repeat; ``folder`` is that of caches."""
    kept = {} if folder is None else {'model.teacher_cache': dict(folder=str(folder))}
    cfg = demo_config('mixed', work_dir, teacher, EPOCHS, **{
        'custom_hooks.0.augmentation_epochs': REPEATED, 'model.student.train_cfg': MIXUP,
        'val_dataloader.dataset.indices': 20, **kept})
    cfg.merge_from_dict(options)
    return cfg


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def checkpoint(folder, name=f'epoch_{EPOCHS}'):
    return load_file(str(folder / f'{name}.pth'))


@pytest.fixture(scope='module')
def plain(tmp_path_factory, small_teacher):
    """A run without a cache."""
    folder = tmp_path_factory.mktemp('plain')
    torch.set_num_threads(1)
    train(config(folder, small_teacher))
    return folder


@pytest.fixture(scope='module')
def filled(tmp_path_factory, small_teacher):
    """A run that fills a cache, ``caches``; beside it, ``run``."""
    folder = tmp_path_factory.mktemp('filled')
    torch.set_num_threads(1)
    train(config(folder / 'run', small_teacher, folder / 'caches'))
    return folder


def test_a_run_that_fills_a_cache_is_the_same_as_one_without(plain, filled):
    assert_same_checkpoint(checkpoint(plain), checkpoint(filled / 'run'))


def test_a_run_that_reads_a_cache_needs_no_teacher_and_resumes_inside_an_epoch(plain, filled, small_teacher, tmp_path):
    steps = {'default_hooks.checkpoint': dict(type='CheckpointHook', interval=3, by_epoch=False)}
    first = train(config(tmp_path, small_teacher, filled / 'caches', **steps))
    assert not first.model.teacher_is_built
    read = checkpoint(tmp_path, 'iter_6')
    (tmp_path / 'iter_6.pth').unlink()
    cfg = config(tmp_path, small_teacher, filled / 'caches', resume=True, load_from=str(tmp_path / 'iter_3.pth'),
                 **steps)
    runner = build_checked_runner(cfg)
    runner.train()
    assert not runner.model.teacher_is_built
    assert_same_checkpoint(read, checkpoint(tmp_path, 'iter_6'))
    read['meta']['epoch'] = EPOCHS  # which a checkpoint of a step does not count as ended
    assert_same_checkpoint(checkpoint(plain), read)


def test_the_teachers_accuracy_is_that_of_the_validation_data_it_was_measured_on(filled, small_teacher, tmp_path):
    cache = cache_of(prepare(config(tmp_path, small_teacher, filled / 'caches'), 1))
    data = str(config(tmp_path, small_teacher, filled / 'caches').val_dataloader.dataset)
    known = cache.accuracy_on(data)
    assert known > 0 and cache.accuracy_on(data.replace('val', 'test')) is None
    cache.keep_accuracy(50.0, 'other')
    assert cache.accuracy_on(data) is None and cache.accuracy_on('other') == 50.0
    cache.keep_accuracy(known, data)


def test_without_validation_the_accuracy_in_a_complete_cache_counts(filled, small_teacher, tmp_path):
    cfg = config(tmp_path, small_teacher, filled / 'caches')
    known = cache_of(prepare(config(tmp_path, small_teacher, filled / 'caches'), 1)).accuracy_on(None)
    cfg.model.teacher.expected_accuracy = known
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    runner = build_checked_runner(cfg)
    runner.train()
    assert known > 0 and not runner.model.teacher_is_built


@pytest.mark.parametrize('changes, words', [
    ({'randomness.seed': 1}, 'seed was 0 and is 1'),
    ({'custom_hooks.0.augmentation_epochs': 3}, 'augmentation_epochs was 2 and is 3'),
    ({'train_dataloader.dataset.pipeline.0.padding': 2}, 'dataset.pipeline was mmpretrain.RandomCrop(crop_size=8'),
    ({'train_dataloader.dataset.labels_per_class': 20}, 'dataset.labels_per_class was 10 and is 20'),
    ({'train_dataloader.dataset.metainfo': dict(classes=[*'1023456789'])}, 'classes was [0, 1, 2'),
    ({'train_dataloader.batch_size': 25}, 'batches.batch_size was 50 and is 25'),
    ({'data_preprocessor.std': [100.0]}, 'preprocessing.data_preprocessor.std was [127.5] and is [100]'),
    ({'model.teacher.interpolation': 'nearest'}, 'teacher.interpolation was')])
def test_a_cache_of_something_else_is_named(filled, small_teacher, tmp_path, changes, words):
    cfg = config(tmp_path, small_teacher, filled / 'caches', **changes)
    cfg.model.teacher_cache.on_mismatch = 'raise'
    with pytest.raises(ValueError) as error:
        prepare(cfg, 1)
    assert 'does not fit this run' in str(error.value) and words in str(error.value)


def test_as_many_processes_as_a_cache_is_for_are_needed(filled, small_teacher, tmp_path):
    cfg = config(tmp_path, small_teacher, filled / 'caches')
    cfg.model.teacher_cache.on_mismatch = 'raise'
    with pytest.raises(ValueError, match='processes was 1 and is 2'):
        prepare(cfg, 2)


def test_draws_that_do_not_repeat_and_configs_without_a_cache_are_errors(small_teacher, tmp_path):
    for changes, folder, words in (({'custom_hooks.0.augmentation_epochs': None}, tmp_path, 'needs draws that repeat'),
                                   ({}, None, 'the config has no model.teacher_cache'),
                                   ({'randomness.diff_rank_seed': True}, tmp_path, 'diff_rank_seed=True')):
        with pytest.raises(ValueError, match=words):
            prepare(config(tmp_path / 'run', small_teacher, folder, **changes), 1)
    cfg = config(tmp_path / 'run', small_teacher, tmp_path)
    cfg.train_dataloader.sampler = dict(type='mmpretrain.RepeatAugSampler')
    with pytest.raises(ValueError, match='the order of RepeatAugSampler is not known to follow'):
        prepare(cfg, 1)


@pytest.mark.parametrize('change, words', [
    (dict(batch_augments=None), 'SwitchRecipeHook changes batch_augments at epoch 2'),
    (dict(train_pipeline=[], batch_augments=None), 'changes batch_augments and train_pipeline at epoch 2'),
    (dict(), None), (dict(action_epoch=9, batch_augments=None), None)])
def test_images_that_change_within_a_run_are_refused(small_teacher, tmp_path, change, words):
    """The check sum is of what the loader gives, before mixup."""
    cfg = config(tmp_path / 'run', small_teacher, tmp_path)
    assert cfg.train_cfg.max_epochs < 9
    schedule = [dict(dict(action_epoch=2), **change)]
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='mmpretrain.SwitchRecipeHook', schedule=schedule)]
    if words is None:
        prepare(cfg, 1)
    else:
        with pytest.raises(ValueError, match=words):
            prepare(cfg, 1)


def test_parts_fill_a_cache_ahead_as_training_does(filled, small_teacher, tmp_path, monkeypatch, capsys):
    runner = prepare(config(tmp_path, small_teacher, tmp_path / 'caches'), 1)
    files = cache_of(runner).files
    done = [list(fill(runner, part, 2)) for part in (0, 1)]
    assert sorted(sum(done, [])) == list(range(4)) and all(done) and not list(fill(runner))
    other = next((filled / 'caches').glob('*/cache.json')).parent
    for path in other.iterdir():
        if path.suffix == '.tap' or path.name in ('records', 'cache.json'):
            assert (files.folder / path.name).read_bytes() == path.read_bytes()
    monkeypatch.setattr('bkdsnn.engine.cache_filling.INTERVAL', 0)
    show(files, range(2))
    list(fill_in_processes(['-c', 'pass'], 2, tmp_path))
    monkeypatch.setattr('bkdsnn.engine.cache_filling.visible_gpus', lambda: ['3', 'GPU-5f'])
    list(fill_in_processes(['-c', "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"], 3, tmp_path))
    assert [(tmp_path / f'part{part}.log').read_text().strip() for part in range(3)] == ['3', 'GPU-5f', '3']
    with pytest.raises(ChildProcessError, match='filling the teacher cache failed: no disk'):
        list(fill_in_processes(['-c', 'raise SystemExit("no disk")'], 1, tmp_path))


def test_the_tool_fills_for_events_of_two_views_and_a_spiking_teacher(tmp_path, monkeypatch):
    """And a run that reads the cache is the same as one without."""
    cfg = Config.fromfile(DEMO / 'events_mixed.py')
    teacher = Config.fromfile(DEMO / 'events_teacher.py')
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(dict(teacher.model, data_preprocessor=teacher.data_preprocessor)
                                            ).state_dict()), tmp_path / 'teacher.pth')
    cfg.merge_from_dict({
        'model.teacher.checkpoint': str(tmp_path / 'teacher.pth'), 'model.teacher.expected_accuracy': None,
        'model.teacher_cache': dict(folder=str(tmp_path / 'caches')), 'custom_hooks.0.augmentation_epochs': 1,
        'train_dataloader.dataset.labels_per_class': 2, 'val_dataloader.dataset.labels_per_class': 1,
        'train_cfg.max_epochs': 2, 'train_dataloader.batch_size': 10, 'work_dir': str(tmp_path / 'cached')})
    cfg.dump(str(tmp_path / 'events.py'))
    done = run_tool('tools/cache_teacher.py', tmp_path / 'events.py', cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '2 batches, 1 epochs of 2 steps in 1 processes' in done.stdout and ': 2 of 2 batches' in done.stdout
    lines = logged_by(monkeypatch, cache)
    assert not train(cfg).model.teacher_is_built and '2 of 2 batches' in lines[0]
    cfg.model.teacher_cache = None
    cfg.work_dir = str(tmp_path / 'plain')
    train(cfg)
    assert_same_checkpoint(*(checkpoint(tmp_path / name, 'epoch_2') for name in ('plain', 'cached')))


def train_together(rank, number, folder):
    """Without a cache, filling one, and reading it; beside a file that names the teacher's folder."""
    save_time()
    for name in ('plain', 'filled', 'cached'):
        cfg = config(folder / name, type(folder)((folder / 'teacher').read_text()),
                     None if name == 'plain' else folder / 'caches', **{'train_dataloader.batch_size': 25})
        cfg.launcher, os.environ['LOCAL_RANK'] = 'pytorch', str(rank)  # which the wrapper would take for a GPU's
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
        runner = train(cfg)
        assert runner.model.module.teacher_is_built is (name != 'cached')


def test_processes_share_a_cache(small_teacher, tmp_path):
    (tmp_path / 'teacher').write_text(str(small_teacher))
    run_in_processes(2, train_together, tmp_path)
    for name in ('filled', 'cached'):
        assert_same_checkpoint(checkpoint(tmp_path / 'plain'), checkpoint(tmp_path / name))
