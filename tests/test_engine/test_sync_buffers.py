"""Buffers over processes: what is averaged, what stays, and when."""
import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import CheckpointHook, EMAHook
from torch import nn

from bkdsnn.engine.hooks import SyncBuffersHook
from bkdsnn.engine.hooks.sync_buffers_hook import average_buffers
from helpers import run_in_processes

PROCESSES = 3  # thirds are not exact


class Buffers(nn.Module):
    """A batch norm of each process's own, constants, and what is no float."""

    def __init__(self, rank):
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        generator = torch.Generator().manual_seed(rank)
        self.norm.running_mean.copy_(torch.randn(4, generator=generator))
        self.norm.running_var.copy_(torch.rand(4, generator=generator))
        self.norm.num_batches_tracked.fill_(2**40 + 1)
        constants = torch.rand(1000, generator=torch.Generator().manual_seed(0))
        self.register_buffer('constants', constants, persistent=False)
        self.register_buffer('mask', torch.tensor([0.0, -math.inf]))
        self.register_buffer('precise', constants.double())
        self.register_buffer('counts', torch.tensor([rank, 7]))
        self.register_buffer('flags', torch.tensor([rank == 0, True]))


def average(rank, number, folder):
    model = Buffers(rank)
    average_buffers(model.buffers())
    torch.save(dict(model.named_buffers()), folder / f'average{rank}.pth')
    in_steps(rank, folder)


def in_steps(rank, folder):
    """A training by steps of which every second is saved, with averaged weights and buffers."""
    hook, ema = SyncBuffersHook(), EMAHook(update_buffers=True, momentum=0.25)
    runner = SimpleNamespace(model=Buffers(rank), hooks=[hook, ema, CheckpointHook(by_epoch=False, interval=2)],
                             iter=0, max_iters=10)
    ema.before_run(runner)
    seen = []
    for runner.iter in range(2):
        runner.model.norm.running_mean.add_(rank)
        hook.after_train_iter(runner, runner.iter)
        ema.after_train_iter(runner, runner.iter)
        seen.append((runner.model.norm.running_mean.clone(), ema.ema_model.module.norm.running_mean.clone()))
    torch.save(seen, folder / f'steps{rank}.pth')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    run_in_processes(PROCESSES, average, folder)
    return folder


def test_statistics_are_averaged_and_all_else_stays_as_it_is(folder):
    found = [torch.load(folder / f'average{rank}.pth') for rank in range(PROCESSES)]
    before = [dict(Buffers(rank).named_buffers()) for rank in range(PROCESSES)]
    for name in ('norm.running_mean', 'norm.running_var'):
        assert all(torch.equal(found[0][name], other[name]) for other in found)
        assert not torch.equal(before[0][name], before[1][name])
        torch.testing.assert_close(found[0][name], sum(b[name] for b in before) / PROCESSES)
    for name in ('norm.num_batches_tracked', 'constants', 'mask', 'precise', 'counts', 'flags'):
        assert all(torch.equal(other[name], before[0][name]) for other in found), name
    # What adding up and dividing would make of the constants.
    assert not torch.equal(sum(b['constants'] for b in before) / PROCESSES, before[0]['constants'])


def test_checkpoints_between_epochs_and_averaged_models_have_the_same_buffers(folder):
    (first, second), *others = [torch.load(folder / f'steps{rank}.pth') for rank in range(PROCESSES)]
    for other_first, other_second in others:
        for i in range(2):  # the model, and its moving average
            assert not torch.equal(first[i], other_first[i])
            assert torch.equal(second[i], other_second[i])


def test_one_process_changes_nothing():
    model = Buffers(0)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    SyncBuffersHook().before_use(SimpleNamespace(model=model, hooks=[]), 0)
    average_buffers(model.buffers())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
