"""Training steps on a GPU, as :mod:`bench_gpu` describes."""
import argparse
from functools import partial
from typing import Callable, Dict, Optional

import torch
from bench_step import compare, step_of
from gpu_card import Card, attempt, free
from gpu_neurons import against_fastest
from networks import NETWORKS, forward_of, ours, peer_of, with_storage
from timing import interleaved, median_and_minimum, wall_seconds
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from bkdsnn.models.neurons import SpikingNode

KERNELS = 12  # of a profile
# Images for each GPU in the networks' configs for ImageNet.
BATCHES = {'sew-resnet18': 128, 'sew-resnet34': 128, 'sew-resnet50': 128, 'spikingformer-8-384': 48}


def measure_equal(report: dict, name: str, card: Card, args: argparse.Namespace) -> None:
    """Logits and gradients of ours and the peer in fp64, on two images."""
    model = ours(name, args.time_steps)
    peer = peer_of(name, model).to(card.device)
    for module in model.modules():
        if isinstance(module, SpikingNode):
            module.backend = 'eager'  # kernels in fp64 would be compiled for this alone
    x, labels = batch_of(name, 2, args.size, card.device)
    report.update(compare(name, model.to(card.device), peer, x, labels, args.time_steps))


def batch_of(name: str, number: int, size: int, device: str) -> tuple:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(number, 3, size, size, generator=generator)
    labels = torch.randint(NETWORKS[name].classes, (number,), generator=generator)
    return x.to(device), labels.to(device)


def builds_of(name: str, T: int, precision: str, device: str) -> Dict[str, Dict[str, Callable[[], nn.Module]]]:
    """For each side its options, and how the network is built with them."""
    relu = dict(type='ReLU')

    def peer(storage: Optional[str] = None, channels_last: bool = False) -> nn.Module:
        net = peer_of(name, ours(name, T))
        net = net.to(device, memory_format=torch.channels_last if channels_last else None)
        return net if storage is None else with_storage(net, storage, device)

    sides = dict(
        ours={'plain': partial(ours, name, T), 'channels_last': partial(ours, name, T, channels_last=True),
              'channels_last, compress_spikes': partial(ours, name, T, channels_last=True, compress_spikes=True)},
        ann={'plain': partial(ours, name, 1, relu), 'channels_last': partial(ours, name, 1, relu, channels_last=True)},
        spikingjelly={'plain': peer})
    if precision == 'bf16':
        sides['spikingjelly']['storage bf16'] = partial(peer, 'bf16')
        sides['spikingjelly']['storage bf16, channels_last'] = partial(peer, 'bf16', True)
    else:
        sides['spikingjelly']['channels_last'] = partial(peer, None, True)
    return sides


def measure_step(report: dict, name: str, precision: str, card: Card, args: argparse.Namespace) -> None:
    """All options of all sides by themselves, then the fastest of each in turn."""
    T = args.time_steps
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == 'tf32'
    x, labels = batch_of(name, args.batch_size or BATCHES[name], args.size, card.device)
    report.update(batch_size=len(x), pixels=args.size, time_steps=T, options={}, failed={}, chosen={})
    steps = {}
    for side, builds in builds_of(name, T, precision, card.device).items():
        rows = report['options'][side] = {}
        for option, build in builds.items():
            tried = attempt(report['failed'], f'{side}, {option}', try_option, build, x, labels,
                            1 if side == 'ann' else T, precision, card, args)
            if tried is None:
                continue
            rows[option], step = tried
            if min(rows, key=lambda key: rows[key]['median_ms']) == option:
                steps[side], report['chosen'][side] = step, option
            del step, tried
    times = {side: median_and_minimum(seconds)
             for side, seconds in interleaved(steps, args.repeats, card.clock).items()}
    report.update(against_fastest(times))
    if {'ours', 'ann'} <= set(times):
        report.update(ann_ratio=times['ours']['median_ms'] / (T * times['ann']['median_ms']),
                      ann_ratio_min=times['ours']['minimum_ms'] / (T * times['ann']['minimum_ms']))


def try_option(build: Callable[[], nn.Module], x: Tensor, labels: Tensor, T: int, precision: str, card: Card,
               args: argparse.Namespace) -> tuple:
    """What a step costs, and the step."""
    free()
    before = card.allocated()
    step = step_in(precision, build().to(card.device), x, labels, T, card)
    for _ in range(2):  # compiles
        step()
    peak = card.peak_of(step) - before
    hosts = []
    for _ in range(2):
        card.synchronize()
        hosts.append(wall_seconds(step))
    times = interleaved(dict(step=step), min(3, args.repeats), card.clock)['step']
    row = dict(median_and_minimum(times), peak_mib=peak / 2**20, host_ms=1e3 * min(hosts))
    print(f'  {row["median_ms"]:.1f} ms, {row["peak_mib"]:.0f} MiB', flush=True)
    return row, step


def step_in(precision: str, model: nn.Module, x: Tensor, labels: Tensor, T: int, card: Card) -> Callable[[], Tensor]:
    """Forward, cross entropy and backward in a precision."""
    inner = forward_of(model.train(), x, T)

    def forward() -> Tensor:
        with torch.autocast(card.device, torch.bfloat16, enabled=precision == 'bf16'):
            return inner()
    return step_of(model, forward, labels)


def measure_profile(report: dict, name: str, card: Card, args: argparse.Namespace) -> None:
    """The kernels that take most of a step of ours in bf16."""
    x, labels = batch_of(name, args.batch_size or BATCHES[name], args.size, card.device)
    step = step_in('bf16', ours(name, args.time_steps, channels_last=True).to(card.device), x, labels,
                   args.time_steps, card)
    for _ in range(3):
        step()
    card.synchronize()
    number = 3
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if card.is_gpu else [])]) as prof:
        for _ in range(number):
            step()
        card.synchronize()
    kind = torch.autograd.DeviceType.CUDA if card.is_gpu else torch.autograd.DeviceType.CPU
    key = 'self_device_time_total' if card.is_gpu else 'self_cpu_time_total'
    rows = sorted((row for row in prof.key_averages() if row.device_type == kind), key=lambda row: -getattr(row, key))
    total = sum(getattr(row, key) for row in rows)
    report.update(ms=total / number / 1e3, launches=sum(row.count for row in rows) / number, kernels=[
        dict(name=row.key[:160], ms=getattr(row, key) / number / 1e3, calls=row.count / number,
             share=getattr(row, key) / max(total, 1e-9)) for row in rows[:KERNELS]])
