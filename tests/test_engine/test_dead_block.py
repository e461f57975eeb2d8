"""A warning where BKD's restoration block is dead."""
import pytest
import torch

from bkdsnn.apis.cli import build_runner
from bkdsnn.models.losses import BKDLoss
from helpers import demo_config


def kill(loss):
    torch.nn.init.constant_(loss.restore[0].bias, -1e6)


@pytest.mark.parametrize('loop', [dict(by_epoch=True, max_epochs=2), dict(by_epoch=False, max_iters=4)],
                         ids=['epochs', 'iterations'])
def test_a_dead_block_is_named_once_and_a_living_one_is_not(tmp_path, small_teacher, loop):
    for is_dead in (False, True):
        cfg = demo_config('mixed', tmp_path / str(is_dead), small_teacher, **{'default_hooks.checkpoint': None})
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = cfg.param_scheduler = None
        cfg.train_cfg, cfg.custom_hooks = loop, []
        runner = build_runner(cfg)
        loss = runner.model.losses.loss_bkd
        if is_dead:
            kill(loss)
        runner.train()
        (log, ) = (tmp_path / str(is_dead)).glob('*/*.log')
        assert log.read_text().count('loss_bkd: the restoration block is dead') == is_dead
        assert is_dead == ('model.losses.loss_bkd.lr_mult (0.1)' in log.read_text())
        assert not loss.restore[1]._forward_hooks


def test_nothing_but_a_bias_learns_by_a_dead_block():
    loss = BKDLoss('feature', 'feature', student_channels=3, teacher_channels=4, loss_weight=1.0)
    kill(loss)
    student, teacher = torch.rand(2, 5, 3, 4, 4, requires_grad=True), torch.rand(5, 4, 4, 4)
    loss(student, teacher).backward()
    moved = {name for name, one in loss.named_parameters() if one.grad is not None and one.grad.any()}
    assert moved == {'restore.2.bias'} and not student.grad.any()
