"""Two processes that share the optimizer's state end with the weights of two that each hold all of it."""
import pytest
import torch

from bkdsnn.apis.cli import build_checked_runner, build_runner, check_all
from bkdsnn.checkpoints.files import load_file
from bkdsnn.engine.cache_filling import prepare
from bkdsnn.evaluation import MemoryPlanner
from helpers import assert_same_checkpoint, demo_config, run_tool_in_processes

ADAMW = dict(type='AdamW', lr=1e-2)
SHARDED = dict(type='ZeroRedundancyOptimizer', optimizer_type='AdamW', lr=1e-2)


def train(folder, teacher, name, optimizer, *arguments):
    cfg = demo_config('mixed', folder / name, teacher, epochs=2, **{'train_dataloader.batch_size': 25})
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.optim_wrapper.optimizer = optimizer
    cfg.dump(str(folder / f'{name}.py'))
    done = run_tool_in_processes(2, 'tools/train.py', folder / f'{name}.py', *arguments)
    assert not any(process.returncode for process in done), done[0].stderr[-3000:]
    return load_file(str(folder / name / 'epoch_2.pth'))


@pytest.fixture(scope='module')
def sharded(tmp_path_factory, small_teacher):
    folder = tmp_path_factory.mktemp('sharded')
    return folder, train(folder, small_teacher, 'sharded', SHARDED)


def test_a_shared_optimizer_state_gives_the_same_weights(sharded, small_teacher):
    folder, got = sharded
    want = train(folder, small_teacher, 'whole', ADAMW)
    for key, value in want['state_dict'].items():
        torch.testing.assert_close(got['state_dict'][key], value, msg=key)
    assert len(got['optimizer']['state']) == len(want['optimizer']['state'])


def test_a_shared_optimizer_state_resumes(sharded, small_teacher):
    folder, want = sharded
    got = train(folder, small_teacher, 'resumed', SHARDED, '--resume', folder / 'sharded' / 'epoch_1.pth')
    assert_same_checkpoint(got, want)


def test_what_shares_nothing_is_left_alone(tmp_path):
    """A runner that only validates has no optimizer, though its hook may look for the best checkpoint."""
    cfg = demo_config('plain', tmp_path)
    cfg.train_cfg = cfg.train_dataloader = cfg.optim_wrapper = None
    cfg.param_scheduler = None
    assert 'accuracy/top1' in build_checked_runner(cfg).val()


def test_one_process_has_none_to_share_with(tmp_path):
    cfg = demo_config('plain', tmp_path)
    whole = MemoryPlanner(cfg).plan(4).parts['optimizer state']
    cfg.optim_wrapper.optimizer = dict(type='ZeroRedundancyOptimizer', optimizer_type='SGD', lr=0.1, momentum=0.9)
    check_all(cfg, ['test'])
    assert MemoryPlanner(cfg).plan(4).parts['optimizer state'] == whole
    with pytest.raises(ValueError, match='shares its state out among processes, and there is one'):
        build_runner(cfg)
    assert 'accuracy/top1' in build_runner(cfg, ['test']).test()  # which needs no optimizer


def test_a_plain_network_is_not_trained_with_a_part_that_only_a_teacher_trains(tmp_path):
    cfg = demo_config('plain', tmp_path)
    cfg.model.head.update(type='SpikingDistillationHead', neuron=cfg.model.backbone.neuron)
    check_all(cfg, ['test'])
    with pytest.raises(ValueError, match="model.head: SpikingDistillationHead answers with head.distilled too"):
        check_all(cfg)


def test_a_teachers_cache_is_filled_ahead_without_processes_to_share_with(tmp_path, small_teacher):
    cfg = demo_config('mixed', tmp_path, small_teacher, **{
        'model.teacher_cache': dict(folder=str(tmp_path)), 'custom_hooks.0.augmentation_epochs': 1})
    cfg.optim_wrapper.optimizer = SHARDED
    assert prepare(cfg, 2).optim_wrapper.optimizer.defaults['lr'] == SHARDED['lr']


@pytest.mark.parametrize('optimizer, message', [
    (dict(lr=0.1), "needs optimizer_type, the name of PyTorch's optimizer"),
    (dict(optimizer_type='Adamw', lr=0.1), 'Adamw'),
    (dict(optimizer_type='AdamW', learning_rate=0.1), 'learning_rate')])
def test_what_it_shares_is_checked(tmp_path, optimizer, message):
    cfg = demo_config('plain', tmp_path)
    cfg.optim_wrapper.optimizer = dict(optimizer, type='ZeroRedundancyOptimizer')
    with pytest.raises((ValueError, KeyError), match=message):
        check_all(cfg)
