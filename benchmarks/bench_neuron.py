"""How fast neurons run forward and backward, against spikingjelly: ``python benchmarks/bench_neuron.py``.

Spikes and gradients of both sides are compared before they are timed in turn in one process. The bound is the time to
move five tensors, which no neuron can do without: the input is read and the spikes are written; for the gradient, the
input and the spikes' gradient are read and the input's gradient is written. It is measured as 2.5 copies of the input.

The last line is a JSON object: ``speedup`` is spikingjelly's median time over ours for the neuron where that is
smallest, ``speedup_min`` that of the minima, ``speedup_compiled`` against spikingjelly under ``torch.compile``, and
``bound_ratio`` our largest time over the bound.
"""
import argparse
import json
from typing import Callable, Dict

import torch
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch import Tensor, nn

from bkdsnn.models.neurons import IFNode, LIFNode, ParametricLIFNode

ALPHAS = dict(Sigmoid=4.0, ATan=2.0)
COMMON = dict(v_threshold=1.0, v_reset=0.0, detach_reset=False)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=30)
    parser.add_argument('--surrogate', choices=ALPHAS, default='Sigmoid', help="spikingjelly's default, or ATan")
    parser.add_argument('--shape', type=int, nargs='+', default=[4, 32, 128, 32, 32], help='of the input, T first')
    return parser.parse_args()


def ours(kind: str, surrogate: str, backend: str) -> nn.Module:
    leak = {} if kind == 'IF' else dict(tau=2.0, decay_input=True)
    node = dict(IF=IFNode, LIF=LIFNode, PLIF=ParametricLIFNode)[kind]
    return node(surrogate=dict(type=surrogate, alpha=ALPHAS[surrogate]), backend=backend, **leak, **COMMON)


def spikingjellys(kind: str, surrogate: str) -> nn.Module:
    try:
        from spikingjelly.activation_based import neuron
        from spikingjelly.activation_based import surrogate as surrogates
    except ImportError as error:
        raise SystemExit(f'This benchmark needs spikingjelly ({error}): '
                         'pip install --no-deps spikingjelly==2.0.0 loguru') from error
    leak = {'IF': {}, 'LIF': dict(tau=2.0, decay_input=True), 'PLIF': dict(init_tau=2.0, decay_input=True)}[kind]
    node = dict(IF=neuron.IFNode, LIF=neuron.LIFNode, PLIF=neuron.ParametricLIFNode)[kind]
    function = getattr(surrogates, surrogate)(alpha=ALPHAS[surrogate])
    return node(step_mode='m', surrogate_function=function, **leak, **COMMON)


def step_of(node: nn.Module, x: Tensor, grad: Tensor) -> Callable[[], tuple]:
    """Spikes and the input's gradient of one forward and backward pass from rest."""
    def step() -> tuple:
        leaf = x.detach().requires_grad_()
        spikes = node(leaf)
        spikes.backward(grad)
        forget(node)
        return spikes, leaf.grad
    return step


def forget(node: nn.Module) -> None:
    """Bring spikingjelly's node to rest; ours is."""
    reset = getattr(getattr(node, '_orig_mod', node), 'reset', None)
    if callable(reset):  # and no parameter of that name
        reset()


def bench(kind: str, surrogate: str, x: Tensor, grad: Tensor, repeats: int) -> Dict[str, dict]:
    """Milliseconds of all sides.

    Raises:
        RuntimeError: If the sides differ.
    """
    copy = torch.empty_like(x)
    nodes = dict(
        ours=ours(kind, surrogate, 'compile'), eager=ours(kind, surrogate, 'eager'),
        spikingjelly=spikingjellys(kind, surrogate),
        spikingjelly_compiled=torch.compile(spikingjellys(kind, surrogate)))
    functions = {name: step_of(node, x, grad) for name, node in nodes.items()}
    functions['copy'] = lambda: copy.copy_(x)
    want = functions['eager']()
    for name in ('ours', 'spikingjelly', 'spikingjelly_compiled'):
        spikes, grad_x = functions[name]()
        if not torch.equal(spikes, want[0]) or not torch.allclose(grad_x, want[1], rtol=1e-5, atol=1e-6):
            raise RuntimeError(f'{kind}: {name} differs from the eager neuron.')
    return {name: median_and_minimum(seconds) for name, seconds in interleaved(functions, repeats).items()}


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    torch.manual_seed(0)
    x, grad = torch.randn(args.shape), torch.randn(args.shape)
    results, rows = {}, {}
    table = Table('neuron', 'ours', 'our eager', 'spikingjelly', 'spikingjelly compiled', 'bound',
                  title=f'ms (minimum), forward and backward, {tuple(args.shape)}, fp32, {args.surrogate}')
    for kind in ('IF', 'LIF', 'PLIF'):
        times = results[kind] = bench(kind, args.surrogate, x, grad, args.repeats)
        median, least = ({name: row[key] for name, row in times.items()} for key in ('median_ms', 'minimum_ms'))
        rows[kind] = dict(
            speedup=median['spikingjelly'] / median['ours'], speedup_min=least['spikingjelly'] / least['ours'],
            speedup_compiled=median['spikingjelly_compiled'] / median['ours'],
            speedup_compiled_min=least['spikingjelly_compiled'] / least['ours'],
            bound_ratio=median['ours'] / (2.5 * median['copy']), bound_ratio_min=least['ours'] / (2.5 * least['copy']))
        table.add_row(kind, *(f'{median[name]:.1f} ({least[name]:.1f})'
                              for name in ('ours', 'eager', 'spikingjelly', 'spikingjelly_compiled')),
                      f'{2.5 * median["copy"]:.1f} ({2.5 * least["copy"]:.1f})')
    Console(width=120).print(table)
    worst = {key: (max if key.startswith('bound') else min)(row[key] for row in rows.values()) for key in rows['IF']}
    print(json.dumps(dict(**worst, surrogate=args.surrogate, ratios=rows, times=results,
                          **environment('spikingjelly', 'numpy'))))


if __name__ == '__main__':
    main()
