"""Neurons by themselves on a GPU, as :mod:`bench_gpu` describes."""
import argparse
from functools import partial
from typing import Callable, Dict, Optional

import bench_neuron
import torch
from gpu_card import Card, attempt
from networks import with_storage
from timing import interleaved, median_and_minimum
from torch import Tensor, nn

from bkdsnn.models.neurons import CLIFNode, GLIFNode, ILIFNode, SFANode

SURROGATES = dict(LIF='Sigmoid', IF='ATan', PLIF='ATan')
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)
TENSORS_MOVED = dict(forward=2, forward_backward=5)
# Where spikingjelly's neurons keep the membrane; None leaves it to them.
STORAGES = dict(fp32=(None, 'fp32'), bf16=(None, 'fp32', 'bf16'))


def measure_neuron(report: dict, kind: str, card: Card, args: argparse.Namespace) -> None:
    """Ours against spikingjelly's, in each dtype and direction."""
    for name, dtype in DTYPES.items():
        builds = {'spikingjelly' if storage is None else f'spikingjelly, storage {storage}':
                  partial(theirs, kind, storage, card.device) for storage in STORAGES[name]}
        report[name] = {}
        compare_neurons(report[name], kind, dtype, builds, card, args)


def measure_compiled(report: dict, kind: str, card: Card, args: argparse.Namespace) -> None:
    """Ours against spikingjelly's under ``torch.compile``, which a user has to call."""
    # Nodes share their code, of which there is one version for each dtype, direction and kind.
    with torch._dynamo.config.patch(recompile_limit=64):
        for name, dtype in DTYPES.items():
            builds = {'spikingjelly, compiled': lambda: torch.compile(theirs(kind, None, card.device))}
            report[name] = {}
            compare_neurons(report[name], kind, dtype, builds, card, args)


def compare_neurons(row: dict, kind: str, dtype: torch.dtype, builds: Dict[str, Callable[[], nn.Module]], card: Card,
                    args: argparse.Namespace) -> None:
    """Ours against other sides in one dtype: errors, peaks and times."""
    row.update(failed={}, differs={}, peak_mib={})
    x, grad = grid(args.shape, dtype, card.device)
    want = bench_neuron.step_of(our_neuron(kind, 'eager', card.device), x, grad)()
    nodes = {}
    for side, build in dict(ours=lambda: our_neuron(kind, 'compile', card.device), **builds).items():
        node = attempt(row['failed'], side, checked, row, side, build, x, grad, want, card)
        if node is not None:
            nodes[side] = node
    del want
    passes = dict(forward={side: forward_alone(node, x) for side, node in nodes.items()},
                  forward_backward={side: bench_neuron.step_of(node, x, grad) for side, node in nodes.items()})
    clock = card.kernel_clock()
    for direction, functions in passes.items():
        times = {side: median_and_minimum(seconds)
                 for side, seconds in interleaved(functions, 2 * args.repeats, clock).items()}
        moved = TENSORS_MOVED[direction] * x.numel() * x.element_size()
        row[direction] = dict(against_fastest(times), bytes=moved, share_of_copy=shares(times, moved, card))


def grid(shape: tuple, dtype: torch.dtype, device: str) -> tuple:
    """Currents in eighths, of which all membranes of neurons with tau 2 are exact in fp32, and the spikes' gradient."""
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randint(-16, 25, shape, generator=generator, device=device).to(dtype) / 8
    return x, torch.randn(shape, generator=generator, device=device).to(dtype)


def our_neuron(kind: str, backend: str, device: str) -> nn.Module:
    return bench_neuron.ours(kind, SURROGATES[kind], backend).to(device)


def theirs(kind: str, storage: Optional[str], device: str) -> nn.Module:
    node = bench_neuron.spikingjellys(kind, SURROGATES[kind], our_neuron(kind, 'eager', 'cpu')).to(device)
    return node if storage is None else with_storage(node, storage, device)


def checked(row: dict, side: str, build: Callable[[], nn.Module], x: Tensor, grad: Tensor, want: tuple, card: Card
            ) -> nn.Module:
    """A node that has run once; how far it is from our eager neuron is noted, and what it takes of memory."""
    node = build()
    step = bench_neuron.step_of(node, x, grad)
    spikes, grad_x = step()
    row['differs'][side] = dict(
        spikes=float((spikes != want[0]).float().mean()),
        gradient=float((grad_x.float() - want[1].float()).norm() / want[1].float().norm()))
    del spikes, grad_x
    before = card.allocated()
    row['peak_mib'][side] = (card.peak_of(step) - before) / 2**20
    return node


def forward_alone(node: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.no_grad():
            spikes = node(x)
        bench_neuron.forget(node)
        return spikes
    return forward


def against_fastest(times: Dict[str, dict]) -> dict:
    """Times, and ours against the fastest of spikingjelly's."""
    row = dict(times=times)
    others = [side for side in times if side.startswith('spikingjelly')]
    if 'ours' in times and others:
        best = min(others, key=lambda side: times[side]['median_ms'])
        row.update(fastest=best, speedup=times[best]['median_ms'] / times['ours']['median_ms'],
                   speedup_min=times[best]['minimum_ms'] / times['ours']['minimum_ms'])
    return row


def shares(times: Dict[str, dict], moved: int, card: Card) -> Dict[str, float]:
    """Rate at which each side moves the fewest bytes, over that of a copy; nothing where that was not measured."""
    if card.copy_rate is None:
        return {}
    return {side: moved / (1e-3 * row['median_ms']) / card.copy_rate for side, row in times.items()}


def measure_others(report: dict, card: Card, args: argparse.Namespace) -> None:
    """Forward and backward in fp32 of neurons that spikingjelly lacks or defines in another way."""
    x, grad = grid(args.shape, torch.float32, card.device)
    surrogate = dict(type='ATan', alpha=2.0)
    nodes = dict(CLIF=lambda: CLIFNode(tau=2.0, v_threshold=1.0, surrogate=surrogate, backend='compile'),
                 ILIF=lambda: ILIFNode(D=4, decay=0.25, backend='compile'),
                 SFA=lambda: SFANode(D=4, norm=4.0, backend='compile'),
                 GLIF=lambda: GLIFNode(T=args.time_steps, surrogate=surrogate))
    report['failed'] = {}
    clock, moved = card.kernel_clock(), TENSORS_MOVED['forward_backward'] * x.numel() * x.element_size()
    for name, build in nodes.items():
        node = attempt(report['failed'], name, build)
        step = node and bench_neuron.step_of(node.to(card.device), x, grad)
        times = node and attempt(report['failed'], name, interleaved, {name: step}, args.repeats, clock)
        if times:
            report[name] = median_and_minimum(times[name])
            report[name]['share_of_copy'] = shares({name: report[name]}, moved, card).get(name)
