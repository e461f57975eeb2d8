"""How fast a training step of SEW-ResNet-18 is, against spikingjelly and an ANN: ``python benchmarks/bench_step.py``.

All sides have the same weights, images and surrogate, and their logits and gradients are compared before they are timed
in turn in one process. The ANN is the same network with ReLU for the neurons; its step is counted T times, once for
each time step. Bytes are what is allocated in the forward pass and alive at its end.

The last line is a JSON object: ``speedup`` is spikingjelly's median time over ours, ``speedup_min`` that of the minima,
``speedup_compiled`` against spikingjelly under ``torch.compile`` (with ``--compile``, which takes minutes),
``ann_ratio`` our time over that of T ANN steps, ``saved_bytes_ratio`` our bytes over spikingjelly's, and
``ann_saved_bytes_ratio`` over those of T ANN steps.
"""
import argparse
import copy
import json
from typing import Callable, Dict

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from timing import environment, interleaved, median_and_minimum
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from bkdsnn.registry import MODELS

CLASSES = 1000


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--repeats', type=int, default=10)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--size', type=int, default=128, help='of the images, in pixels')
    parser.add_argument('--time-steps', type=int, default=4)
    parser.add_argument('--compile', action='store_true', help='time spikingjelly under torch.compile too')
    return parser.parse_args()


def ours(time_steps: int, neuron: dict, **options: bool) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='SpikingClassifier', **options,
        backbone=dict(type='SEWResNet', arch=18, T=time_steps, neuron=neuron),
        head=dict(type='SpikingLinearHead', num_classes=CLASSES, in_channels=512)))
    model.init_weights()
    return model


def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    return model(x, mode='tensor').mean(0)


def spikingjellys(like: nn.Module) -> nn.Module:
    """Its SEW-ResNet-18 with the weights of ours."""
    try:
        from spikingjelly.activation_based import functional, neuron, surrogate
        from spikingjelly.activation_based.model.sew_resnet import sew_resnet18
    except ImportError as error:
        raise SystemExit(f'This benchmark needs spikingjelly ({error}): '
                         'pip install --no-deps spikingjelly==2.0.0 loguru') from error
    net = sew_resnet18(pretrained=False, cnf='ADD', spiking_neuron=neuron.IFNode, num_classes=CLASSES,
                       surrogate_function=surrogate.ATan(alpha=2.0), detach_reset=True)
    functional.set_step_mode(net, 'm')
    for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear):
        pairs = zip(in_order(net, kind), in_order(like, kind), strict=True)
        for theirs, our in pairs:
            theirs.load_state_dict(our.state_dict())
    return net


def in_order(model: nn.Module, kind: type) -> list:
    """Layers of a kind, a block's shortcut last, as both sides have them."""
    return [module for module in model.modules() if isinstance(module, kind)]


def step_of(model: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        logits = forward()
        F.cross_entropy(logits, labels).backward()
        return logits.detach()
    return step


def saved_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass allocates and leaves alive."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        logits = forward()  # noqa: F841, alive until the profile ends
    return sum(event.nbytes() for event in prof.profiler.kineto_results.events() if event.name() == '[memory]')


def compare(name: str, model: nn.Module, got: Tensor, like: nn.Module, want: Tensor) -> None:
    """Print how far logits and gradients of two steps are apart, and stop if they differ."""
    pairs = zip(in_order(model, nn.Conv2d), in_order(like, nn.Conv2d), strict=True)
    error = max(float((a.weight.grad - b.weight.grad).norm() / b.weight.grad.norm()) for a, b in pairs)
    print(f'{name}: logits differ from {type(like).__name__} by {float((got - want).abs().max()):.1e}, gradients by '
          f'{error:.1e} of their norm')
    if error > 0.02:
        raise RuntimeError(f'{name} differs from {type(like).__name__}.')


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    torch.manual_seed(1)
    x = torch.randn(args.batch_size, 3, args.size, args.size)
    labels = torch.randint(CLASSES, (args.batch_size,))
    neuron = dict(type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True,
                  surrogate=dict(type='ATan', alpha=2.0), backend='auto')
    T = args.time_steps
    models: Dict[str, nn.Module] = dict(
        ours=ours(T, neuron), ours_compressed=ours(T, neuron, compress_spikes=True),
        ours_channels_last=ours(T, neuron, compress_spikes=True, channels_last=True),
        ours_bf16=ours(T, neuron, compress_spikes=True), ann=ours(1, dict(type='ReLU')),
        ann_channels_last=ours(1, dict(type='ReLU'), channels_last=True))
    peer = spikingjellys(models['ours'])
    from spikingjelly.activation_based import functional

    def peer_forward(net: nn.Module) -> Tensor:
        logits = net(x.unsqueeze(0).expand(T, *x.shape)).mean(0)
        functional.reset_net(peer)
        return logits

    def bf16() -> Tensor:
        with torch.autocast('cpu', torch.bfloat16):
            return logits_of(models['ours_bf16'], x).float()

    forwards = {name: (lambda model=model: logits_of(model, x)) for name, model in models.items()}
    forwards['ours_bf16'] = bf16
    forwards['spikingjelly'] = lambda: peer_forward(peer)
    if args.compile:
        compiled = torch.compile(peer)
        forwards['spikingjelly_compiled'] = lambda: peer_forward(compiled)
    steps = {name: step_of(models.get(name, peer), forward, labels) for name, forward in forwards.items()}

    for name in ('ours', 'ours_compressed'):
        compare(name, models[name], steps[name](), peer, steps['spikingjelly']())
    # In fp32 sums in another order let membranes next to the threshold spike or not; in fp64 none is so near.
    both = [(net, step_of(net, lambda net=net: logits_of(net, x.double()), labels))
            for net in (copy.deepcopy(models[name]).double() for name in ('ours_channels_last', 'ours'))]
    compare('ours_channels_last in fp64', both[0][0], both[0][1](), both[1][0], both[1][1]())
    del both
    times = {name: median_and_minimum(seconds) for name, seconds in interleaved(steps, args.repeats).items()}
    kept = {name: saved_bytes(forward) for name, forward in forwards.items()}
    table = Table('side', 'ms (minimum)', 'MiB saved', title=f'SEW-ResNet-18, T={T}, {tuple(x.shape)}')
    for name, row in times.items():
        table.add_row(name, f'{row["median_ms"]:.0f} ({row["minimum_ms"]:.0f})', f'{kept[name] / 2**20:.0f}')
    Console(width=100).print(table)
    best = times['ours_channels_last']
    result = dict(
        speedup=times['spikingjelly']['median_ms'] / best['median_ms'],
        speedup_min=times['spikingjelly']['minimum_ms'] / best['minimum_ms'],
        ann_ratio=best['median_ms'] / (T * times['ann_channels_last']['median_ms']),
        ann_ratio_min=best['minimum_ms'] / (T * times['ann_channels_last']['minimum_ms']),
        saved_bytes_ratio=kept['ours_channels_last'] / kept['spikingjelly'],
        ann_saved_bytes_ratio=kept['ours_channels_last'] / (T * kept['ann_channels_last']))
    if args.compile:
        result['speedup_compiled'] = times['spikingjelly_compiled']['median_ms'] / best['median_ms']
    print(json.dumps(dict(**result, times=times, saved_bytes=kept, **environment('spikingjelly', 'numpy'))))


if __name__ == '__main__':
    main()
