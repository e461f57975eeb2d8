"""A warning where BKD's restoration block is dead."""
import logging

import pytest
import torch
from mmengine.runner import Runner

from bkdsnn.engine.hooks import DeadBlockHook
from helpers import demo_config


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if 'restoration block is dead' in record.getMessage()]


@pytest.mark.parametrize('method', ['mixed', 'plain'])
@pytest.mark.parametrize('epochs', [True, False], ids=['epochs', 'iterations'])
def test_a_dead_block_is_named_once_and_a_living_one_is_not(tmp_path, small_teacher, caplog, method, epochs):
    for is_dead in (False, True):
        cfg = demo_config(method, tmp_path / str(is_dead), small_teacher if method == 'mixed' else None, epochs=2,
                          **{'default_hooks.checkpoint': None})
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'TeacherCheckHook']
        if not epochs:
            cfg.train_cfg = dict(by_epoch=False, max_iters=4)
            cfg.custom_hooks, cfg.param_scheduler = [], None
        runner = Runner.from_cfg(cfg)
        runner.register_hook(DeadBlockHook())
        if is_dead and method == 'mixed':
            torch.nn.init.constant_(runner.model.losses.loss_bkd.restore[0].bias, -1e6)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            runner.logger.addHandler(caplog.handler)  # mmengine's passes on nothing
            runner.train()
        said = warnings_of(caplog)
        assert len(said) == (is_dead and method == 'mixed'), said
        assert all('model.losses.loss_bkd.lr_mult (0.1)' in one for one in said)
        if method == 'mixed':
            assert not runner.model.losses.loss_bkd.restore[1]._forward_hooks
