"""Memory of a training step, predicted and measured: ``python benchmarks/bench_memory.py``.

Each config's step in fp32 is predicted as by ``tools/analysis_tools/plan_memory.py``, then run in a process of its own,
with data of the right shape. Its peak is measured twice: the bytes that PyTorch has allocated (the profiler's record of
each allocation; on a GPU it would be ``max_memory_allocated``), and, in another step, the growth of the process's
resident memory as the kernel counts it. What lives between steps (weights, buffers, optimizer) is added to both.

Then SEW-ResNet-18's step against spikingjelly's, on the same weights and images.

The last line is a JSON object: ``plan_error`` is predicted over allocated minus one, ``plan_error_resident`` the same
against the resident bytes, by config; ``convolution_error`` the most bytes by which one convolution differs from what
is predicted for it, which depends on the processor; ``saved_bytes_ratio`` our bytes saved for backward over
spikingjelly's, and ``peak_ratio`` our peak over spikingjelly's, with ``compress_spikes`` and ``channels_last``.
"""
import argparse
import json
import os
import subprocess
import sys
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Callable, Dict, Optional

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from rich.console import Console
from rich.table import Table
from timing import allocations, environment, profiled
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
STEPS = {'snn/sew-resnet18-t4_2xb128-320e_in1k': 8,
         'bkd/spikformer-4-384-t4_vit-small_1xb64-310e_cifar10': 16,
         'snn/sew-dvs-net-t4_1xb16-64e_dvs-gesture': 4,
         'bkd/sew-resnet18-t4_resnet18_2xb128-320e_in1k': 8}
# Freed memory goes back at once, so that the resident memory is that of living tensors.
MALLOC = dict(MALLOC_MMAP_THRESHOLD_='65536', MALLOC_TRIM_THRESHOLD_='0', MALLOC_ARENA_MAX='1')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--configs', nargs='+', default=list(STEPS), help='paths below configs/, without .py')
    parser.add_argument('--batch-size', type=int, help='instead of 4 to 16, by config')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings to override in all configs')
    parser.add_argument('--size', type=int, default=128, help='of the images against spikingjelly, in pixels')
    parser.add_argument('--measure', help=argparse.SUPPRESS)  # one config, in the process of its own
    return parser.parse_args()


def allocated_peak(run: Callable[[], object]) -> int:
    """Most bytes that a call has allocated at one time, beyond those before it."""
    return max(accumulate(allocations(run), initial=0))


def convolution_error(run: Callable[[], object]) -> int:
    """Most bytes by which what a convolution allocates inside a call differs from what the planner counts for it.

    The planner counts the copies in the layout of oneDNN. What else it takes, such as partial sums of a weight's
    gradient, depends on the processor.
    """
    events = profiled(run, record_shapes=True)
    memory = [(event.start_ns(), event.nbytes()) for event in events if event.name() == '[memory]']
    errors = [0]
    for event in events:
        if event.name() not in ('aten::convolution', 'aten::convolution_backward'):
            continue
        inside = [size for start, size in memory if event.start_ns() <= start <= event.end_ns()]
        shapes = [4 * prod(shape) for shape in event.shapes()[:3]]
        result = sum(inside)
        x, weight = shapes[:2]
        copies = sum(shapes) if 'backward' in event.name() else weight + max(x, result)
        errors.append(abs(max(accumulate(inside, initial=0)) - result - copies))
    return max(errors)


def resident_peak(run: Callable[[], object]) -> Optional[int]:
    """Growth of the resident memory during a call; ``None`` where the system does not tell."""
    try:
        Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    except OSError:
        return None
    before = resident('VmRSS')
    run()
    return resident('VmHWM') - before


def resident(name: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:'))


def bytes_of(tensors) -> int:
    return sum(t.untyped_storage().nbytes() for t in {t.untyped_storage()._cdata: t for t in tensors}.values())


def measure(cfg: Config, batch_size: int) -> Dict[str, Optional[int]]:
    """Peaks of a real training step in bytes, ``allocated`` and ``resident``, and its :func:`convolution_error`."""
    from bkdsnn.evaluation.untrained import build_untrained, build_wrapper, training_shape
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = build_untrained(cfg).train()
        model.init_weights()
        wrapper = build_wrapper(model, cfg.optim_wrapper)
    shape = training_shape(cfg)

    def sample(shape: tuple) -> Tensor:
        return torch.randint(0, 256 if len(shape) == 3 else 3, (batch_size, *shape), dtype=torch.uint8)

    inputs = {name: sample(s) for name, s in shape.items()} if isinstance(shape, dict) else sample(shape)

    def step() -> dict:
        samples = [DataSample().set_gt_label(i % 10) for i in range(batch_size)]
        return model.train_step(dict(inputs=inputs, data_samples=samples), wrapper)

    for _ in range(3):  # compiles, and makes the optimizer's state
        step()
    teacher = getattr(model, 'teacher', nn.Identity())
    kept = bytes_of([*model.parameters(), *model.buffers(), *teacher.parameters(), *teacher.buffers(),
                     *(t for t in tree_leaves(wrapper.optimizer.state_dict()['state']) if isinstance(t, Tensor))])
    grown = resident_peak(step)
    return dict(allocated=kept + allocated_peak(step), resident=None if grown is None else kept + grown,
                convolution_error=convolution_error(step))


def load(name: str, options: Optional[dict]) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(options or {})
    return cfg


def compare_plan(name: str, batch_size: int, arguments: list) -> Dict[str, Optional[int]]:
    """Predicted and measured peak of a config."""
    from bkdsnn.evaluation.memory import MemoryPlanner
    others = {name: value for name, value in os.environ.items() if not name.startswith('MALLOC_')}
    *_, line = subprocess.run(
        [sys.executable, __file__, *arguments, '--measure', name, '--batch-size', str(batch_size)], check=True,
        env={**others, **MALLOC}, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    planner = MemoryPlanner(load(name, parse_args().cfg_options))
    planner.amp = False  # as measured
    return dict(predicted=planner.plan(batch_size).peak, batch_size=batch_size, **json.loads(line))


def against_spikingjelly(size: int, batch_size: int = 8, time_steps: int = 4) -> Dict[str, dict]:
    """Bytes saved for backward, and the peak of forward and backward, of SEW-ResNet-18."""
    from bench_step import saved_bytes, step_of
    from networks import NETWORKS, forward_of, ours, peer_of
    name = 'sew-resnet18'
    nets = dict(ours=ours(name, time_steps),
                ours_channels_last=ours(name, time_steps, compress_spikes=True, channels_last=True))
    nets['spikingjelly'] = peer_of(name, nets['ours'])
    x, labels = torch.randn(batch_size, 3, size, size), torch.arange(batch_size) % NETWORKS[name].classes
    forwards = {side: forward_of(net, x, time_steps) for side, net in nets.items()}
    found = {}
    for name, forward in forwards.items():
        step = step_of(nets[name], forward, labels)
        step()  # compiles
        nets[name].zero_grad()
        found[name] = dict(saved=saved_bytes(forward), peak=bytes_of(nets[name].parameters()) + allocated_peak(step))
    return found


def mebibytes(size: Optional[int]) -> str:
    return '' if size is None else f'{size / 2**20:.0f}'


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')
    if args.measure:
        print(json.dumps(measure(load(args.measure, args.cfg_options), args.batch_size)))
        return
    found = {name: compare_plan(name, args.batch_size or STEPS.get(name, 4), sys.argv[1:]) for name in args.configs}
    table = Table('config', 'batch', 'predicted', 'allocated', 'resident', 'error %', title='Peak of a step, MiB')
    for name, row in found.items():
        row['error'] = row['predicted'] / row['allocated'] - 1
        row['error_resident'] = row['resident'] and row['predicted'] / row['resident'] - 1
        table.add_row(name, str(row['batch_size']), *(mebibytes(row[key]) for key in (
            'predicted', 'allocated', 'resident')), f'{100 * row["error"]:+.1f}')
    console = Console(width=120)
    console.print(table)
    peers = against_spikingjelly(args.size)
    table = Table('side', 'saved', 'peak', title=f'SEW-ResNet-18, T=4, 8 images of {args.size} pixels, MiB')
    for name, row in peers.items():
        table.add_row(name, mebibytes(row['saved']), mebibytes(row['peak']))
    console.print(table)
    best, peer = peers['ours_channels_last'], peers['spikingjelly']
    print(json.dumps(dict(
        plan_error={name: row['error'] for name, row in found.items()},
        plan_error_resident={name: row['error_resident'] for name, row in found.items()},
        saved_bytes_ratio=best['saved'] / peer['saved'], peak_ratio=best['peak'] / peer['peak'],
        configs=found, sides=peers, **environment('spikingjelly'))))


if __name__ == '__main__':
    main()
