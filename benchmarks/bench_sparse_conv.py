"""How fast convolutions that skip zeros are: ``python benchmarks/bench_sparse_conv.py --plot sparse_conv.svg``.

Layers of SEW-ResNet-18 and Spikformer-4-384, on random spikes of several densities (the part of the input that is one),
against PyTorch's dense convolution in the same layout. The convolution and the gradient of its weight are compared with
the dense ones first; then all run in turn. The gradient of the input is dense on both sides, and left out.

The last line is a JSON object: for each layer the densities and, ``forward``, ``ordered`` (forward with weights that
were put in order before, as for inference) and for the ``weight_grad``, median and minimum of the dense side and of
ours at each density; ``speedup`` is the dense median over ours at the density 0.15
where that is smallest, and ``speedup_min`` that of the minima.
"""
import argparse
import json
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Dict, List

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from pictures import picture, picture_file
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum

from bkdsnn.models.layers.sparse_conv import MAX_DENSITY, convolve, pack, weight_grad

# Maps, channels before and after, side of the map, side of the kernel, stride.
LAYERS = {
    'SEW-ResNet-18, layer1': (32, 64, 64, 32, 3, 1),
    'SEW-ResNet-18, layer2': (32, 128, 128, 16, 3, 1),
    'SEW-ResNet-18, layer3': (32, 256, 256, 8, 3, 1),
    'SEW-ResNet-18, layer4': (32, 512, 512, 4, 3, 1),
    'SEW-ResNet-18, to layer2': (32, 64, 128, 32, 3, 2),
    'SEW-ResNet-18, to layer4': (32, 256, 512, 8, 3, 2),
    'SEW-ResNet-18, layer4 of one image': (4, 512, 512, 7, 3, 1),
    'Spikformer, tokenizer.2': (64, 96, 192, 32, 3, 1),
    'Spikformer, mlp.expand': (64, 384, 1536, 8, 1, 1),
}
DENSITIES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
HEADLINE = 0.15
DIRECTIONS = dict(forward='forward', ordered='forward, weights in order', weight_grad="the weight's gradient")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--layers', nargs='+', choices=LAYERS, default=list(LAYERS))
    parser.add_argument('--maps', type=int, help="instead of each layer's number")
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--plot', type=picture_file, help='also draw it, as .svg or .png')
    return parser.parse_args()


def bench(layer: tuple, repeats: int) -> Dict[str, dict]:
    """By direction: the time of the dense side, and those of ours, in the order of ``DENSITIES``."""
    maps, in_channels, out_channels, side, kernel_size, stride = layer
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(out_channels, in_channels, kernel_size, kernel_size, generator=generator)
    grad = torch.randn(maps, out_channels, side // stride, side // stride, generator=generator)
    weight, grad = (t.contiguous(memory_format=torch.channels_last) for t in (weight, grad))
    padding = kernel_size // 2
    functions = {}
    for density in DENSITIES:
        x = torch.rand(maps, in_channels, side, side, generator=generator) < density
        x = x.float().contiguous(memory_format=torch.channels_last)
        convolution = partial(F.conv2d, x, weight, stride=stride, padding=padding)
        dense = dict(
            forward=convolution, ordered=convolution,
            weight_grad=lambda x=x: torch.ops.aten.convolution_backward(
                grad, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False])[1])
        sparse = dict(forward=partial(convolve, x, weight, None, x.numel(), stride),
                      ordered=partial(convolve, x, weight, None, x.numel(), stride, pack(weight)),
                      weight_grad=partial(weight_grad, x, grad, weight, stride))
        for direction in DIRECTIONS:
            torch.testing.assert_close(sparse[direction](), dense[direction](), rtol=1e-3, atol=1e-2)
            functions[direction, density] = sparse[direction]
            functions[direction, 'dense'] = dense[direction]  # the same at any density
    times = {name: median_and_minimum(seconds) for name, seconds in interleaved(functions, repeats).items()}
    return {direction: dict(dense=times[direction, 'dense'], sparse=[times[direction, d] for d in DENSITIES])
            for direction in DIRECTIONS}


def speedups(row: dict, key: str = 'median_ms') -> List[float]:
    return [row['dense'][key] / sparse[key] for sparse in row['sparse']]


def draw(found: Dict[str, dict], path: Path) -> None:
    """A panel for each direction, a line for each layer."""
    from bkdsnn.visualization.figures import PALETTE
    with picture(path, size=(14, 4)) as figure:
        panels = figure.subplots(1, len(DIRECTIONS), sharey=True)
        for panel, (direction, title) in zip(panels, DIRECTIONS.items()):
            for (name, rows), colour, marker in zip(found.items(), cycle(PALETTE), 'os^vDPX*<'):
                panel.plot(DENSITIES, speedups(rows[direction]), '-', marker=marker, color=colour, label=name)
            panel.axhline(1, color='black', linewidth=1)
            panel.axvspan(MAX_DENSITY, 1 - MAX_DENSITY, color='grey', alpha=0.15, linewidth=0)
            panel.set_title(title)
            panel.set_xlabel('part of the input that is one')
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
        panels[0].set_ylabel('times as fast as dense')
        panels[-1].legend(fontsize=8, loc='upper center')


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    found = {}
    for name in args.layers:
        maps, *rest = LAYERS[name]
        found[name] = bench((args.maps or maps, *rest), args.repeats)
    table = Table('layer', '', 'dense, ms', *(f'{density:g}' for density in DENSITIES),
                  title='times as fast as dense, by the part of the input that is one')
    for name, rows in found.items():
        for direction, row in rows.items():
            table.add_row(name, direction, f'{row["dense"]["median_ms"]:.1f}',
                          *(f'{speedup:.2f}' for speedup in speedups(row)))
    Console(width=150).print(table)
    if args.plot:
        draw(found, args.plot)
    index = DENSITIES.index(HEADLINE)
    least = {key: min(speedups(row, key)[index] for rows in found.values() for row in rows.values())
             for key in ('median_ms', 'minimum_ms')}
    print(json.dumps(dict(speedup=least['median_ms'], speedup_min=least['minimum_ms'], density=HEADLINE,
                          densities=DENSITIES, layers=found, **environment())))


if __name__ == '__main__':
    main()
