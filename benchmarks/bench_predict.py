"""How fast a CPU predicts with a spiking network, against its ANN: ``python benchmarks/bench_predict.py``.

The network runs all time steps at once, or step by step (``step_1`` to ``step_T``), as early exit does, which ends
after as many steps as a sample needs; with dense convolutions and with ``sparse_convs=True``, which skips zeros and
keeps weights in the order for that. Batch norms are joined with convolutions on all sides. The ANN is the same network
with ReLU for the neurons, and runs once. Weights are random, and norms have the statistics of random images, so that
neurons fire about as in training; logits of the spiking sides are compared in fp64 before.

The last line is a JSON object: times, ``speedup`` (dense over sparse, all steps at once; ``speedup_min`` that of the
minima), ``ann_ratio`` (sparse over one pass of the ANN), ``exit_ratios`` (step by step and sparse, ended after 1, 2,
... steps, over the ANN), and ``firing_rate``, the part of neurons and steps that fire.
"""
import argparse
import copy
import json
from typing import Callable, Dict

import torch
from mmengine.logging import MMLogger
from networks import NETWORKS, ours
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch import Tensor, nn

from bkdsnn.evaluation import measure_synops
from bkdsnn.models import Stream
from bkdsnn.models.layers import fuse_conv_bn, skipping_zeros


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--network', choices=NETWORKS, default='sew-resnet18')
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--size', type=int, default=224, help='of the images, in pixels')
    parser.add_argument('--time-steps', type=int, default=4)
    return parser.parse_args()


def with_statistics(model: nn.Module, x: Tensor) -> nn.Module:
    """A network whose norms know images like these; for inference."""
    with torch.no_grad():
        for _ in range(10):
            model(torch.randn_like(x))
    return model.eval()


def check(models: Dict[str, nn.Module], x: Tensor) -> None:
    """Compare sparse with dense, and steps with all at once, in fp64."""
    dense, sparse = (copy.deepcopy(models[name]).double() for name in ('dense', 'sparse'))
    with torch.no_grad():
        want = dense(x.double())
        stream = Stream(sparse)
        steps = torch.stack([stream.step(x.double()) for _ in range(len(want))])
        for got in (sparse(x.double()), steps):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-8)


def after_steps(model: nn.Module, x: Tensor, steps: int) -> Callable[[], None]:
    """Predict step by step, and end after so many."""
    def run() -> None:
        stream = Stream(model)
        for _ in range(steps):
            stream.step(x)
    return run


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    torch.manual_seed(1)
    x = torch.randn(args.batch_size, 3, args.size, args.size)
    spiking = fuse_conv_bn(with_statistics(ours(args.network, args.time_steps, channels_last=True), x))
    ann = fuse_conv_bn(with_statistics(ours(args.network, 1, dict(type='ReLU'), channels_last=True), x))
    models = dict(dense=spiking, sparse=skipping_zeros(spiking), ann=ann)
    check(models, x)
    steps = {name: lambda model=model: model(x) for name, model in models.items()}
    for name in ('dense', 'sparse'):
        for count in range(1, args.time_steps + 1):
            steps[f'{name}_step_{count}'] = after_steps(models[name], x, count)
    with torch.no_grad():
        seconds = interleaved(steps, args.repeats)
    times = {name: median_and_minimum(found) for name, found in seconds.items()}
    median, least = ({name: row[key] for name, row in times.items()} for key in ('median_ms', 'minimum_ms'))

    table = Table('side', 'ms (minimum)', 'of the ANN', title=f'{args.network}, T={args.time_steps}, {tuple(x.shape)}')
    for name, row in times.items():
        table.add_row(name, f'{row["median_ms"]:.1f} ({row["minimum_ms"]:.1f})', f'{median[name] / median["ann"]:.2f}')
    Console(width=100).print(table)
    exits = [median[f'sparse_step_{count}'] / median['ann'] for count in range(1, args.time_steps + 1)]
    print(json.dumps(dict(
        speedup=median['dense'] / median['sparse'], speedup_min=least['dense'] / least['sparse'],
        ann_ratio=median['sparse'] / median['ann'], ann_ratio_min=least['sparse'] / least['ann'], exit_ratios=exits,
        firing_rate=measure_synops(models['dense'], [x]).firing_rate, times=times, **environment())))


if __name__ == '__main__':
    main()
