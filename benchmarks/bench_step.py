"""How fast a training step is, against spikingjelly and an ANN: ``python benchmarks/bench_step.py``.

All sides have the same weights, images and surrogate. Logits and gradients are compared in fp64, where no membrane is
so near its threshold that the order of a sum decides, before all sides are timed in turn in one process. Where
spikingjelly lacks the network, its neurons stand in ours. The ANN is the same network with ReLU for the neurons; its
step is counted T times, once for each time step. Distilled is the step with BKDLoss and WSLDLoss against features of
the teacher that were computed before; then with the teacher's forward pass too. Bytes are what the forward pass
allocates and leaves alive.

The last line is a JSON object: ``speedup`` is spikingjelly's median time over ours (``ours_sparse``: compressed,
channels-last, and with convolutions that skip zeros), ``speedup_min`` that of the minima, ``speedup_compiled`` against
spikingjelly under ``torch.compile`` (with ``--compile``, which takes minutes), ``ann_ratio`` our time over that of T
steps of the ANN in the same layout, ``saved_bytes_ratio`` our bytes over spikingjelly's, ``ann_saved_bytes_ratio``
over those of T ANN steps, ``distill_overhead`` the time that the losses add to the plain step as a part of it, and
``teacher_overhead`` that of losses and teacher. ``checkpointed`` is ours with ``with_cp`` too:
``checkpointed_time_ratio`` is its time over that of ``ours_sparse``, ``peak_bytes_ratio`` the bytes at the peak of a
step, beside weights and images, over spikingjelly's, and ``checkpointed_peak_bytes_ratio`` its own. With
``--cached-teacher``, ``distill_cached_ratio`` is the time of a step whose teacher is replayed from files over that of
the plain step (``distill_cached_ratio_min`` that of the minima), and ``cache_read_ratio`` over that of reading alone.
``profile`` says which part of the processor's time in a step of ``ours_sparse`` is whose, by the profiler's operators.
"""
import argparse
import copy
import json
import tempfile
from contextlib import ExitStack
from itertools import accumulate, count
from typing import Callable, Dict, Optional

import timm
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmpretrain.structures import DataSample
from networks import NETWORKS, forward_of, gradient_error, ours, peer_of
from rich.console import Console
from rich.table import Table
from timing import allocations, environment, interleaved, median_and_minimum
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from bkdsnn.models import Distiller
from bkdsnn.utils.processor import cpu_computes_in_bfloat16

CACHED = 'distilled_cached'
# The step of ours_sparse again, among the distilled ones.
PLAIN = 'plain'
# Parts of a step by how the profiler's operators begin.
PARTS = {
    'gradients of convolutions that are dense: inputs, and weights of dense ones': ('aten::convolution_backward', ),
    'dense convolutions, forward': ('aten::mkldnn_convolution', 'aten::thnn_conv2d', 'aten::_slow_conv2d_forward'),
    'convolutions that skip zeros, forward and weights': ('_SparseConv', ),
    'neurons, with what norms do in their pass': ('_Run', '## Call CompiledFxGraph', 'Torch-Compiled Region'),
    'statistics and gradients of batch norms': ('aten::native_batch_norm', 'aten::batch_norm_update_stats'),
}
# In the cache, so that each is long out of the processor's caches when it comes again.
BATCHES = 16


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--network', choices=NETWORKS, default='sew-resnet18')
    parser.add_argument('--repeats', type=int, default=10)
    parser.add_argument('--batch-size', type=int, help="instead of the network's")
    parser.add_argument('--size', type=int, help="of the images, in pixels, instead of the network's")
    parser.add_argument('--time-steps', type=int, help="instead of the network's")
    parser.add_argument('--compile', action='store_true', help='time spikingjelly under torch.compile too')
    parser.add_argument('--cached-teacher', action='store_true', help='time a student whose teacher is cached, too')
    return parser.parse_args()


def step_of(model: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Callable[[], Tensor]:
    """Forward and backward of the cross entropy; gives the logits."""
    def step() -> Tensor:
        model.zero_grad(set_to_none=True)
        logits = forward()
        F.cross_entropy(logits.float() if logits.dtype == torch.bfloat16 else logits, labels).backward()
        return logits.detach()
    return step


def in_bfloat16(forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The forward pass in mixed precision."""
    def mixed() -> Tensor:
        with torch.autocast('cpu', torch.bfloat16):
            return forward()
    return mixed


def saved_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass allocates and leaves alive."""
    return sum(allocations(forward))


def peak_bytes(model: nn.Module, step: Callable[[], object]) -> int:
    """Bytes at the peak of a step beside what is there before it."""
    model.zero_grad(set_to_none=True)
    return max(accumulate(allocations(step)))


def profile_of(step: Callable[[], object], steps: int = 3) -> Dict[str, float]:
    """Shares of the processor's time in steps, by ``PARTS``."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step()
    shares = dict.fromkeys((*PARTS, 'the rest'), 0.0)
    operators = found.key_averages()
    total = sum(operator.self_cpu_time_total for operator in operators)
    for operator in operators:
        part = next((part for part, names in PARTS.items() if operator.key.startswith(names)), 'the rest')
        shares[part] += operator.self_cpu_time_total / total
    return shares


def compare(name: str, model: nn.Module, like: nn.Module, x: Tensor, labels: Tensor, time_steps: int
            ) -> Dict[str, float]:
    """How far logits and gradients are apart in fp64, which is printed too; an error if they differ."""
    got, want = (copy.deepcopy(net).double() for net in (model, like))
    logits = [step_of(net, forward_of(net, x.double(), time_steps), labels)() for net in (got, want)]
    error, gradient = float((logits[0] - logits[1]).abs().max()), gradient_error(got, want)
    print(f'{name}: in fp64 logits differ from {type(like).__name__} by {error:.1e}, gradients by {gradient:.1e} of '
          'their norm')
    if error > 1e-6 or gradient > 1e-6:
        raise RuntimeError(f'{name} differs from {type(like).__name__}.')
    return dict(logits=error, gradients=gradient)


def distillers(name: str, student: nn.Module, x: Tensor, folder: Optional[str] = None, alpha: float = 1e-4
               ) -> Dict[str, Distiller]:
    """The student under a teacher whose features are known, one that runs, and one that is cached in a folder."""
    teacher, feature, logits = NETWORKS[name].teacher
    network = timm.create_model(teacher, num_classes=NETWORKS[name].classes)
    cfg = timm.data.resolve_model_data_config(network)
    size = cfg['input_size'][-1] if 'vit' in teacher else x.shape[-1]
    losses = dict(
        loss_bkd=dict(type='BKDLoss', student=NETWORKS[name].last, teacher=feature, loss_weight=alpha),
        loss_wsld=dict(type='WSLDLoss', teacher=logits, tau=2.0))
    caches = dict(distilled=None, distilled_with_teacher=None)
    if folder is not None:
        caches[CACHED] = dict(folder=folder)
    sides = {side: Distiller(student, dict(type='FrozenTeacher', model=network, input_size=size), losses,
                             input_shape=tuple(x.shape[1:]), teacher_cache=cache) for side, cache in caches.items()}
    features = sides['distilled'].teach(x)
    sides['distilled'].teach = lambda images: features
    return sides


def read_from_cache(distiller: Distiller, x: Tensor) -> Callable[[], None]:
    """Have a distiller replay what its teacher says of a batch, from files; gives what only reads."""
    numbers, teach, cache = count(), distiller.teach, distiller.teacher_cache
    cache.open(dict(), BATCHES, 1, 1, len(x))

    def read(images: Tensor = x) -> Dict[str, Tensor]:
        cache.go_to(next(numbers) % BATCHES, 0, 0, 0)
        return teach(images)

    for _ in range(BATCHES):
        read()
    distiller.teach = read
    return read


def distill_step(distiller: Distiller, x: Tensor, labels: Tensor) -> Callable[[], None]:
    samples = [DataSample().set_gt_label(int(label)) for label in labels]

    def step() -> None:
        distiller.zero_grad(set_to_none=True)
        sum(distiller(x, samples, mode='loss').values()).backward()
    return step


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('bench', log_level='ERROR')
    name, network = args.network, NETWORKS[args.network]
    T = args.time_steps or network.time_steps
    size = args.size or network.size
    torch.manual_seed(1)
    x = torch.randn(args.batch_size or network.batch_size, 3, size, size)
    labels = torch.randint(network.classes, (len(x),))
    lean = dict(compress_spikes=True, channels_last=True, sparse_convs=True)
    models: Dict[str, nn.Module] = dict(
        ours=ours(name, T), ours_compressed=ours(name, T, compress_spikes=True),
        ours_channels_last=ours(name, T, compress_spikes=True, channels_last=True), ours_sparse=ours(name, T, **lean),
        checkpointed=ours(name, T, with_cp=True, **lean),
        ann=ours(name, 1, dict(type='ReLU')),
        ann_channels_last=ours(name, 1, dict(type='ReLU'), channels_last=True))
    models['spikingjelly'] = peer_of(name, models['ours'])
    for side in ('ours', 'ours_compressed', 'ours_channels_last', 'ours_sparse', 'checkpointed'):
        compare(side, models[side], models['spikingjelly'], x, labels, T)

    forwards = {side: forward_of(model, x, T) for side, model in models.items()}
    if args.compile:
        forwards['spikingjelly_compiled'] = forward_of(torch.compile(models['spikingjelly']), x, T)
    if cpu_computes_in_bfloat16():  # emulated, a step would take as long as all others
        models['ours_bf16'] = ours(name, T, **lean)
        forwards['ours_bf16'] = in_bfloat16(forward_of(models['ours_bf16'], x, T))
    steps = {side: step_of(models.get(side, models['spikingjelly']), forward, labels)
             for side, forward in forwards.items()}
    distilled = {PLAIN: steps['ours_sparse']}
    with ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory()) if args.cached_teacher else None
        for side, distiller in distillers(name, ours(name, T, **lean), x, folder).items():
            if side == CACHED:
                distilled['read'] = read_from_cache(distiller, x)
            distilled[side] = distill_step(distiller, x, labels)
        # Sides that differ by little run right after each other.
        seconds = {**interleaved(steps, args.repeats), **interleaved(distilled, args.repeats)}
    times = {side: median_and_minimum(found) for side, found in seconds.items()}
    shares = profile_of(steps['ours_sparse'])
    kept = {side: saved_bytes(forward) for side, forward in forwards.items()}
    peaks = {side: peak_bytes(models[side], steps[side]) for side in ('spikingjelly', 'ours_sparse', 'checkpointed')}

    table = Table('side', 'ms (minimum)', 'MiB saved', 'MiB at the peak', title=f'{name}, T={T}, {tuple(x.shape)}')
    for side, row in times.items():
        saved, peak = (f'{found[side] / 2**20:.0f}' if side in found else '' for found in (kept, peaks))
        table.add_row(side, f'{row["median_ms"]:.0f} ({row["minimum_ms"]:.0f})', saved, peak)
    Console(width=100).print(table)
    best, ann = 'ours_sparse', 'ann_channels_last'
    median, least = ({side: row[key] for side, row in times.items()} for key in ('median_ms', 'minimum_ms'))
    result = dict(
        speedup=median['spikingjelly'] / median[best], speedup_min=least['spikingjelly'] / least[best],
        ann_ratio=median[best] / (T * median[ann]), ann_ratio_min=least[best] / (T * least[ann]),
        checkpointed_time_ratio=median['checkpointed'] / median[best],
        peak_bytes_ratio=peaks[best] / peaks['spikingjelly'],
        checkpointed_peak_bytes_ratio=peaks['checkpointed'] / peaks['spikingjelly'],
        saved_bytes_ratio=kept[best] / kept['spikingjelly'], ann_saved_bytes_ratio=kept[best] / (T * kept[ann]),
        distill_overhead=median['distilled'] / median[PLAIN] - 1,
        distill_overhead_min=least['distilled'] / least[PLAIN] - 1,
        teacher_overhead=median['distilled_with_teacher'] / median[PLAIN] - 1)
    if args.cached_teacher:
        result['distill_cached_ratio'] = median[CACHED] / median[PLAIN]
        result['distill_cached_ratio_min'] = least[CACHED] / least[PLAIN]
        result['cache_read_ratio'] = median[CACHED] / median['read']
    if args.compile:
        result['speedup_compiled'] = median['spikingjelly_compiled'] / median[best]
        result['speedup_compiled_min'] = least['spikingjelly_compiled'] / least[best]
    print(json.dumps(dict(**result, network=name, times=times, saved_bytes=kept, peak_bytes=peaks, profile=shares,
                          **environment('spikingjelly', 'numpy', 'timm'))))


if __name__ == '__main__':
    main()
