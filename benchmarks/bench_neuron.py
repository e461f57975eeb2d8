"""How fast neurons run forward and backward, against spikingjelly: ``python benchmarks/bench_neuron.py``.

Spikes and gradients of both sides are compared before they are timed in turn in one process: exactly, or where sums
run in another order in fp64, where no membrane is so near its threshold that this decides. The bound is the time to
move five tensors, which no neuron can do without: the input is read and the spikes are written; for the gradient, the
input and the spikes' gradient are read and the input's gradient is written. It is measured as 2.5 copies of the input.

The last line is a JSON object: ``speedup`` is spikingjelly's median time over ours for the neuron where that is
smallest, ``speedup_min`` that of the minima, ``speedup_compiled`` against spikingjelly under ``torch.compile``, and
``bound_ratio`` our largest time over the bound. ``ratios`` has them for each neuron.
"""
import argparse
import copy
import json
from typing import Callable, Dict

import torch
from mmengine.logging import MMLogger
from networks import SpikingjellyCounts
from networks import spikingjelly as import_spikingjelly
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch import Tensor, nn

from bkdsnn.registry import MODELS

ALPHAS = dict(Sigmoid=4.0, ATan=2.0)
COMMON = dict(v_threshold=1.0, v_reset=0.0, detach_reset=False)
T, D = 4, 4
RECTANGULAR = dict(type='Rectangular', alpha=1.0)
# Ours, and whether all of it is one sum in one order on all sides. What has no surrogate here takes --surrogate.
NEURONS: Dict[str, dict] = dict(
    IF=dict(type='IFNode', **COMMON), LIF=dict(type='LIFNode', tau=2.0, decay_input=True, **COMMON),
    PLIF=dict(type='ParametricLIFNode', tau=2.0, decay_input=True, **COMMON),
    ILIF=dict(type='ILIFNode', D=D, decay=0.25), SFA=dict(type='SFANode', D=D, norm=D),
    CLIF=dict(type='CLIFNode', tau=2.0, v_threshold=1.0, surrogate=RECTANGULAR),
    GLIF=dict(type='GLIFNode', T=T, surrogate=RECTANGULAR), PSN=dict(type='PSNNode', T=T),
    MaskedPSN=dict(type='MaskedPSNNode', T=T, k=2, mask=1.0), SlidingPSN=dict(type='SlidingPSNNode', k=2))
BINARY, EXACT = ('IF', 'LIF', 'PLIF'), ('IF', 'LIF', 'PLIF', 'ILIF', 'SFA')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=30)
    parser.add_argument('--surrogate', choices=ALPHAS, default='Sigmoid', help="spikingjelly's default, or ATan")
    parser.add_argument('--neurons', nargs='+', choices=NEURONS, default=list(BINARY))
    parser.add_argument('--shape', type=int, nargs='+', default=[T, 32, 128, 32, 32], help=f'of the input, T={T} first')
    return parser.parse_args()


def ours(kind: str, surrogate: str, backend: str) -> nn.Module:
    cfg = dict(NEURONS[kind])
    if kind not in ('ILIF', 'SFA'):
        cfg.setdefault('surrogate', dict(type=surrogate, alpha=ALPHAS[surrogate]))
    return MODELS.build(dict(cfg, backend=backend))


def spikingjellys(kind: str, surrogate: str, like: nn.Module) -> nn.Module:
    """Its neuron with the weights of ours."""
    sj = import_spikingjelly()
    neuron, function = sj.neuron, getattr(sj.surrogate, surrogate)(alpha=ALPHAS[surrogate])
    rectangular, counts = sj.surrogate.Rect(alpha=1.0), sj.surrogate.MultiLevelSpikeCount(D)
    common = dict(step_mode='m', surrogate_function=function)
    build = dict(
        IF=lambda: neuron.IFNode(**common, **COMMON),
        LIF=lambda: neuron.LIFNode(tau=2.0, decay_input=True, **common, **COMMON),
        PLIF=lambda: neuron.ParametricLIFNode(init_tau=2.0, decay_input=True, **common, **COMMON),
        ILIF=lambda: neuron.ILIFNode(surrogate_function=counts, detach_reset=True, step_mode='m'),
        SFA=lambda: SpikingjellyCounts(D, D),
        CLIF=lambda: neuron.ComplementaryLIFNode(2.0, 1.0, rectangular, step_mode='m'),
        GLIF=lambda: neuron.GatedLIFNode(T, surrogate_function=rectangular),
        PSN=lambda: neuron.PSN(T, function), MaskedPSN=lambda: neuron.MaskedPSN(2, T, 1.0, function, step_mode='m'),
        SlidingPSN=lambda: neuron.SlidingPSN(2, surrogate_function=function, step_mode='m'))
    node = build[kind]()
    renamed = dict(threshold='v_threshold', leak='linear_decay', reset='v_subreset') if kind == 'GLIF' else {}
    with torch.no_grad():
        for name, value in like.named_parameters():
            if kind not in BINARY:
                theirs = getattr(node, renamed.get(name, name))
                theirs.copy_(value.view_as(theirs))
    return node


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


def compare(kind: str, nodes: Dict[str, nn.Module], x: Tensor, grad: Tensor) -> None:
    """Spikes and gradients of all sides against those of the eager neuron.

    Raises:
        RuntimeError: If they differ.
    """
    dtype = torch.float32 if kind in EXACT else torch.float64
    x, grad = x[:, :4].to(dtype), grad[:, :4].to(dtype)
    found = {name: step_of(copy.deepcopy(node).to(dtype), x, grad)() for name, node in nodes.items()}
    for name, (spikes, grad_x) in found.items():
        same = torch.allclose(spikes, found['eager'][0], rtol=0, atol=1e-12 if kind not in EXACT else 0)
        if not same or not torch.allclose(grad_x, found['eager'][1], rtol=1e-5, atol=1e-6):
            raise RuntimeError(f'{kind}: {name} differs from the eager neuron.')


def bench(kind: str, surrogate: str, x: Tensor, grad: Tensor, repeats: int) -> Dict[str, dict]:
    """Milliseconds of all sides."""
    torch.compiler.reset()  # spikingjelly's surrogates do not compile for several neurons in one process
    copied = torch.empty_like(x)
    eager = ours(kind, surrogate, 'eager')
    compiled = ours(kind, surrogate, 'compile')
    compiled.load_state_dict(eager.state_dict())
    nodes = dict(ours=compiled, eager=eager, spikingjelly=spikingjellys(kind, surrogate, eager))
    compare(kind, nodes, x, grad)
    nodes['spikingjelly_compiled'] = torch.compile(copy.deepcopy(nodes['spikingjelly']))
    functions = {name: step_of(node, x, grad) for name, node in nodes.items()}
    functions['copy'] = lambda: copied.copy_(x)
    return {name: median_and_minimum(seconds) for name, seconds in interleaved(functions, repeats).items()}


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    torch.manual_seed(0)
    x, grad = torch.randn(args.shape), torch.randn(args.shape)
    results, rows = {}, {}
    table = Table('neuron', 'ours', 'our eager', 'spikingjelly', 'spikingjelly compiled', 'bound',
                  title=f'ms (minimum), forward and backward, {tuple(args.shape)}, fp32, {args.surrogate}')
    for kind in args.neurons:
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
    worst = {key: (max if key.startswith('bound') else min)(row[key] for row in rows.values())
             for key in rows[args.neurons[0]]}
    print(json.dumps(dict(**worst, surrogate=args.surrogate, ratios=rows, times=results,
                          **environment('spikingjelly', 'numpy'))))


if __name__ == '__main__':
    main()
