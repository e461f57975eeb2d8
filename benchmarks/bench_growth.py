"""How the cost of a training step grows: ``python benchmarks/bench_growth.py --plot docs/_static/growth.svg``.

Time and peak memory of a SEW-ResNet's step (forward, cross entropy, backward) against time steps, batch size,
resolution and depth, each changed alone. All settings run in turn, so that noise hits all. Memory is what PyTorch has
allocated at the peak, beyond weights and images, which are there before.

The last line is a JSON object: for each axis its values, median and minimum time, bytes at the peak, those held before,
and what fits time (ms) and memory (MiB) best: ``fixed`` plus ``slope`` for each time step, sample, block, or square of
64 pixels; ``worst`` is the largest relative error of the fit.
"""
import argparse
import json
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import torch
from bench_memory import allocated_peak, bytes_of
from mmengine.logging import MMLogger
from pictures import picture, picture_file
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch.nn import functional as F

from bkdsnn.registry import MODELS

BASE = dict(time_steps=4, batch_size=8, size=96, depth=2)
AXES = dict(time_steps=(1, 2, 4, 8, 16), batch_size=(2, 4, 8, 16, 32), size=(32, 64, 96, 128, 160),
            depth=(1, 2, 3, 4, 6))
LABELS = dict(time_steps='time steps T', batch_size='batch size', size='pixels of a side', depth='blocks a stage')
NEURON = dict(type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0))
CLASSES = 10


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--plot', type=picture_file, help='also draw it, as .svg or .png')
    for name, values in AXES.items():
        flag = name.replace('_', '-')
        parser.add_argument(f'--{flag}', type=int, nargs='+', default=values, help=f'values of the axis {LABELS[name]}')
        parser.add_argument(f'--base-{flag}', type=int, default=BASE[name], help=f'{LABELS[name]} on the other axes')
    return parser.parse_args()


def step_of(time_steps: int, batch_size: int, size: int, depth: int) -> Callable[[], None]:
    """A training step of a SEW-ResNet with ``depth`` basic blocks in each of its four stages; 2 is SEW-ResNet-18."""
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='SpikingClassifier',
        backbone=dict(type='SEWResNet', arch=dict(layers=(depth, ) * 4, widths=(64, 128, 256, 512)), T=time_steps,
                      neuron=NEURON),
        head=dict(type='SpikingLinearHead', num_classes=CLASSES, in_channels=512)))
    model.init_weights()
    x, labels = torch.randn(batch_size, 3, size, size), torch.arange(batch_size) % CLASSES

    def step() -> None:
        F.cross_entropy(model(x, mode='tensor').mean(0), labels).backward()
        model.zero_grad()

    step.held = bytes_of([*model.parameters(), *model.buffers(), x])
    return step


def amount_of(axis: str, values: Sequence[float]) -> np.ndarray:
    """What cost should be proportional to."""
    return (np.array(values) / 64)**2 if axis == 'size' else np.array(values, float)


def fit(axis: str, values: Sequence[float], costs: Sequence[float]) -> Dict[str, float]:
    """The straight line with the least relative error."""
    amounts, costs = amount_of(axis, values), np.array(costs)
    slope, fixed = np.polyfit(amounts, costs, 1, w=1 / costs)
    return dict(fixed=float(fixed), slope=float(slope),
                worst=float(abs((fixed + slope * amounts) / costs - 1).max()))


def bench(axes: Dict[str, List[int]], base: Dict[str, int], repeats: int) -> Dict[str, dict]:
    """By axis: values, and at each time in ms, and bytes at the peak and before."""
    points = {name: [tuple({**base, name: value}.items()) for value in values] for name, values in axes.items()}
    # The base is a point of each axis, and run once.
    steps = {point: step_of(**dict(point)) for row in points.values() for point in row}
    times = {point: median_and_minimum(seconds) for point, seconds in interleaved(steps, repeats).items()}
    peaks = {point: allocated_peak(step) for point, step in steps.items()}
    found = {}
    for name, row in points.items():
        found[name] = dict(
            values=axes[name], median_ms=[times[p]['median_ms'] for p in row],
            minimum_ms=[times[p]['minimum_ms'] for p in row], peak_bytes=[peaks[p] for p in row],
            held_bytes=[steps[p].held for p in row])
        found[name]['time_law'] = fit(name, axes[name], found[name]['median_ms'])
        found[name]['memory_law'] = fit(name, axes[name], np.array(found[name]['peak_bytes']) / 2**20)
    return found


def law_of(axis: str, law: Dict[str, float]) -> str:
    x = '(x/64)²' if axis == 'size' else 'x'
    return f'{law["fixed"]:.0f} + {law["slope"]:.3g} {x}'


def draw(found: Dict[str, dict], title: str, path: Path) -> None:
    """Small multiples: time above, memory below, an axis a column."""
    from bkdsnn.visualization.figures import PALETTE
    rows = (('ms a step', 'median_ms', 'time_law', 1, PALETTE[0], 'o'),
            ('MiB a step', 'peak_bytes', 'memory_law', 2**20, PALETTE[1], 's'))
    with picture(path, size=(11, 5.2)) as figure:
        figure.suptitle(title, fontsize=12)
        panels = figure.subplots(2, len(found), sharex='col', sharey='row', squeeze=False)
        for panel_row, (unit, key, law, scale, colour, marker) in zip(panels, rows):
            for panel, (name, axis) in zip(panel_row, found.items()):
                x = np.linspace(0, max(axis['values']))
                panel.plot(x, axis[law]['fixed'] + axis[law]['slope'] * amount_of(name, x), '--', color=colour,
                           linewidth=1)
                panel.plot(axis['values'], np.array(axis[key]) / scale, marker, color=colour)
                panel.set_title(law_of(name, axis[law]), fontsize=11)
                panel.set_xticks(axis['values'])
                panel.set_ylim(bottom=0)
                panel.grid(alpha=0.3)
            panel_row[0].set_ylabel(unit)
        for panel, name in zip(panels[-1], found):
            panel.set_xlabel(LABELS[name])


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    axes = {name: sorted(set(getattr(args, name))) for name in AXES}
    for name, values in axes.items():
        if len(values) < 2:
            raise SystemExit(f'--{name.replace("_", "-")} needs two values at least, got {values}.')
    base = {name: getattr(args, f'base_{name}') for name in AXES}
    found = bench(axes, base, args.repeats)
    title = ('A training step of SEW-ResNet, changed from T={time_steps}, {batch_size} images of {size} pixels, '
             '{depth} blocks a stage').format(**base)
    table = Table('axis', 'value', 'ms (minimum)', 'MiB (held)', 'ms fits', 'MiB fits', title=title)
    for name, axis in found.items():
        for i, value in enumerate(axis['values']):
            laws = [law_of(name, axis[key]) for key in ('time_law', 'memory_law')] if i == 0 else []
            table.add_row(LABELS[name] if i == 0 else '', str(value), f'{axis["median_ms"][i]:.0f} '
                          f'({axis["minimum_ms"][i]:.0f})', f'{axis["peak_bytes"][i] / 2**20:.0f} '
                          f'({axis["held_bytes"][i] / 2**20:.0f})', *laws)
    Console(width=110).print(table)
    if args.plot:
        draw(found, title, args.plot)
    print(json.dumps(dict(growth=found, base=base, **environment())))


if __name__ == '__main__':
    main()
