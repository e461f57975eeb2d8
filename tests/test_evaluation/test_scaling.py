"""Trainings on more processes: what is computed of them."""
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from bkdsnn.config.data import steps_in_epoch
from bkdsnn.evaluation import MemoryPlanner, plan_scales
from bkdsnn.evaluation.scaling import ring_bytes
from helpers import DEMO, demo_config, run_tool, tiny_student

PLAIN = dict(model=tiny_student(), image_shape=(1, 8, 8), optim_wrapper=dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)))


def config(**changes):
    return Config(dict(PLAIN, train_dataloader=dict(batch_size=10), **changes))


@pytest.mark.parametrize('samples, processes, size', [(100, 1, 10), (101, 2, 25), (7, 8, 2), (63, 4, 16)])
@pytest.mark.parametrize('drop_last', [True, False])
def test_steps_are_those_of_the_loader(monkeypatch, samples, processes, size, drop_last):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, processes))
    data = range(samples)
    loader = DataLoader(data, size, sampler=DefaultSampler(data), drop_last=drop_last)
    assert steps_in_epoch(samples, processes, size, drop_last) == len(loader)


def test_a_ring_sends_what_its_rounds_do():
    """Summing takes n - 1 rounds in which each process sends one of n parts, spreading the sums as many more."""
    for processes in (1, 2, 4, 64):
        assert ring_bytes(6400, processes) == 2 * (processes - 1) * (6400 // processes)


def test_more_processes_have_larger_batches_fewer_steps_and_buckets():
    cfg = config(auto_scale_lr=dict(base_batch_size=20))
    cfg.optim_wrapper.accumulative_counts = 2
    one, two, four = plan_scales(cfg, 100, [1, 2, 4])
    planner = MemoryPlanner(cfg)
    gradients = 4 * sum(p.numel() for p in planner.model.parameters())
    assert [(s.samples, s.steps, s.sent) for s in (one, two, four)] == [
        (20, 10, 0), (40, 5, gradients), (80, 3, 1.5 * gradients)]
    assert (two.sent_in_epoch, four.sent_in_epoch) == (2.5 * gradients, 1.5 * 1.5 * gradients)
    assert [s.lr for s in (one, two, four)] == pytest.approx([0.05, 0.1, 0.2])
    planner.gpus = 2
    assert two.memory == four.memory == planner.plan(10).peak == one.memory + gradients
    assert one.cache is None


def test_the_learning_rate_is_the_one_that_the_runner_sets(tmp_path, monkeypatch):
    cfg = demo_config('plain', tmp_path, auto_scale_lr=dict(base_batch_size=20, enable=True))
    monkeypatch.setattr(Runner, 'world_size', 4)
    runner = Runner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    runner.scale_lr(wrapper, cfg.auto_scale_lr)
    (scale, ) = plan_scales(cfg, 100, [4])
    assert wrapper.param_groups[0]['lr'] == pytest.approx(scale.lr) != cfg.optim_wrapper.optimizer.lr


def test_one_batch_is_spread_over_all():
    one, five = plan_scales(config(), 100, [1, 5], total=20)
    assert (one.batch_size, five.batch_size, one.samples, five.samples, one.steps, five.steps) == (20, 4, 20, 20, 5, 5)
    assert one.lr is None and five.memory < one.memory
    with pytest.raises(ValueError, match='20 samples cannot be spread evenly over 3 processes'):
        list(plan_scales(config(), 100, [3], total=20))
    cfg = config()
    cfg.train_dataloader.drop_last = True
    with pytest.raises(ValueError, match='15 samples in 2 processes make no batch of 10 in each'):
        list(plan_scales(cfg, 15, [2]))


def test_tool_prints_and_writes_it_with_the_teacher_cache(tmp_path):
    kept = 4 * 3 * 100 * (128 * 2 * 2 + 10)  # fp32, epochs, samples, the taps of BKD and WSLD
    done = run_tool('tools/analysis_tools/plan_scaling.py', DEMO / 'mixed.py', '--gpus', 1, 2, '--batch-size', 25,
                    '--json', tmp_path / 'found.json', '--cfg-options', 'model.teacher_cache.folder=caches',
                    'custom_hooks.0.augmentation_epochs=3', 'train_dataloader.dataset.labels_per_class=10')
    assert done.returncode == 0, done.stderr
    assert 'Computed, not measured' in done.stdout and '(3 epochs)' in done.stdout
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['samples'] == 100
    one, two = found['scales']
    assert (one['steps'], two['steps'], two['samples'], one['sent']) == (4, 2, 50, 0)
    assert kept < one['cache'] == two['cache'] < 1.001 * kept  # and records of batches
    assert not torch.cuda.is_available() or one['memory'] > 0


def test_tool_says_that_no_data_are_needed(tmp_path):
    done = run_tool('tools/analysis_tools/plan_scaling.py', DEMO.parent / 'bkd' / 'spikformer_imagenet.py',
                    cwd=tmp_path)
    assert done.returncode and done.stderr.startswith('Error: ') and '--samples N no data are needed' in done.stderr
