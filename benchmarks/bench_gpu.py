"""How fast this is on one GPU, against spikingjelly and an ANN: ``python benchmarks/bench_gpu.py --out FILE``.

It takes six minutes on a card that runs nothing else. Sections run in order of importance; what a section has found is
in the JSON object of the last line, and in FILE, also where it fails or the time is up, and those that fail or are left
out are named there. ``--device cpu --smoke`` runs the same code on tiny inputs, to see that it runs.

Neurons: each side's kernels by themselves, forward, and forward and backward, on inputs of which rounding cannot change
a spike. The fewest bytes that must be moved are those of the input and the spikes forward, and of the input, the
spikes' gradient and the input's gradient backward: 2 and 5 tensors. ``share_of_copy`` is that over the median time,
as a part of the rate at which the card copies. spikingjelly 2.0.0 chooses its kernels itself: its own CUDA code where
it was built, else Triton's, and PyTorch step by step where the membrane is not in fp32, as under autocast. ``storage``
are its Triton kernels for mixed precision. ``speedup`` is over its fastest.

Steps: forward, cross entropy and backward, T = 4, on images of 224 pixels. First each side's options are tried, then
the fastest of each run in turn. ``ann_ratio`` is our time over that of T steps of the same network with ReLU for
neurons. Peaks are what PyTorch has allocated, with weights and gradients. ``host_ms`` is what the host takes to issue a
step; where it is close to the time, the card waits. Logits and gradients are compared in fp64 in a section before.

Recipes: a whole step of a distillation config, teacher, mixed precision and optimizer included, on images that lie on
the card, at the config's batch size or the largest half of it that fits.
"""
import argparse
import json
import logging
import subprocess
import time
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List

import bench_neuron
import torch
from bench_step import compare, step_of
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from networks import NETWORKS, forward_of, ours, peer_of, spikingjelly, with_storage
from sections import Sections, last_lines
from timing import card_seconds, environment, interleaved, median_and_minimum, wall_seconds
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from bkdsnn.evaluation.untrained import build_untrained, training_shape
from bkdsnn.models.neurons import CLIFNode, GLIFNode, ILIFNode, SFANode, SpikingNode
from bkdsnn.utils.out_of_memory import find_memory_error

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'bkd'
SURROGATES = dict(LIF='Sigmoid', IF='ATan', PLIF='ATan')
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)
TENSORS_MOVED = dict(forward=2, forward_backward=5)
# spikingjelly's options for neurons: where membranes are kept, None as it chooses.
STORAGES = dict(fp32=(None, 'fp32'), bf16=(None, 'fp32', 'bf16'))
PRECISIONS = ('bf16', 'tf32', 'fp32')
KERNELS = 12  # of a profile


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--out', type=Path, help='JSON file to write after each section')
    parser.add_argument('--minutes', type=float, default=6.0, help='after which no section is begun')
    parser.add_argument('--sections', nargs='+', default=[''], help='names, or how they begin; all without')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--smoke', action='store_true', help='tiny inputs, few repeats: only to see that it runs')
    parser.add_argument('--repeats', type=int, default=12, help='of steps; neurons run twice as often')
    parser.add_argument('--batch-size', type=int, default=32, help='of steps')
    parser.add_argument('--time-steps', type=int, default=4)
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('there is no GPU; --device cpu --smoke shows that the script runs.')
    if args.out is not None and not args.out.resolve().parent.is_dir():
        parser.error(f'--out {args.out}: there is no such folder.')
    args.shape, args.size, args.copied = (args.time_steps, 32, 64, 112, 112), 224, 2**31
    if args.smoke:
        args.shape, args.size, args.copied, args.batch_size, args.repeats = (args.time_steps, 2, 8, 8, 8), 32, 2**20, 2, 1
    return args


class Card:
    """What differs between a GPU and the CPU that stands for it."""

    def __init__(self, device: str) -> None:
        self.device, self.is_gpu = device, device == 'cuda'
        self.clock = card_seconds if self.is_gpu else wall_seconds
        self.copy_rate = None  # bytes read and written in a second

    def kernel_clock(self) -> Callable[[Callable[[], object]], float]:
        """A clock for calls that are shorter than it takes to issue them."""
        if not self.is_gpu:
            return wall_seconds
        # Written before each call: a millisecond and more of work, which also clears the card's cache.
        buffer = torch.empty(2**32, dtype=torch.uint8, device=self.device)
        return partial(card_seconds, before=buffer.zero_)

    def synchronize(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()

    def allocated(self) -> int:
        return torch.cuda.memory_allocated() if self.is_gpu else 0

    def peak_of(self, function: Callable[[], object]) -> int:
        """Most bytes that are allocated during a call; 0 on a CPU."""
        if not self.is_gpu:
            return 0
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


def attempt(failed: Dict[str, list], name: str, function: Callable[[], object]):
    """What a call returns; if it fails, ``None``, and why is kept under its name."""
    try:
        return function()
    except Exception:  # other people's kernels fail as they like
        failed[name] = last_lines()
        print(f'  {name} failed: {failed[name][-1]}', flush=True)
        return None


# ---- the card ----


def measure_card(report: dict, card: Card, args: argparse.Namespace) -> None:
    source = torch.zeros(args.copied // 4, device=card.device)
    target = torch.empty_like(source)
    times = interleaved(dict(copy=lambda: target.copy_(source)), 2 * args.repeats, card.clock)
    card.copy_rate = 2 * args.copied / median(times['copy'])
    report.update(copy_bytes=2 * args.copied, copy=median_and_minimum(times['copy']), copy_gb_per_s=card.copy_rate / 1e9)
    report.update(versions_of(card))


def versions_of(card: Card) -> dict:
    found = dict(card='none: a CPU stands for it', cuda=torch.version.cuda)
    if card.is_gpu:
        properties = torch.cuda.get_device_properties(0)
        driver = subprocess.run(['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'],
                                capture_output=True, text=True, check=False).stdout.strip()
        found = dict(card=properties.name, memory_gib=properties.total_memory / 2**30, driver=driver,
                     multiprocessors=properties.multi_processor_count, cuda=torch.version.cuda,
                     cudnn=torch.backends.cudnn.version())
    functional = spikingjelly().functional
    found['spikingjelly_kernels'] = {
        kind: functional.neuron_implementation(kind, torch.device(card.device)) for kind in ('if', 'lif', 'plif')}
    for package in ('triton', 'cupy-cuda13x'):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


# ---- neurons ----


def measure_neuron(report: dict, kind: str, card: Card, args: argparse.Namespace, compiled: bool = False) -> None:
    """Ours against spikingjelly's, in each dtype and direction; ``compiled`` is its node under ``torch.compile``."""
    surrogate = SURROGATES[kind]
    clock = card.kernel_clock()
    for name, dtype in DTYPES.items():
        row = report[name] = dict(failed={}, differs={}, peak_mib={})
        x, grad = grid(args.shape, dtype, card.device)
        want = bench_neuron.step_of(bench_neuron.ours(kind, surrogate, 'eager').to(card.device), x, grad)()
        builds = dict(ours=lambda: bench_neuron.ours(kind, surrogate, 'compile'))
        for storage in [] if compiled else STORAGES[name]:
            builds['spikingjelly' if storage is None else f'spikingjelly, storage {storage}'] = partial(
                their_neuron, kind, surrogate, storage, card.device)
        if compiled:
            builds['spikingjelly, compiled'] = lambda: torch.compile(bench_neuron.spikingjellys(kind, surrogate))
        nodes = {}
        for side, build in builds.items():
            node = attempt(row['failed'], side, lambda: build().to(card.device))
            if node is not None and attempt(row['failed'], side,
                                            lambda: check(row, side, node, x, grad, want, card)):
                nodes[side] = node
        del want
        passes = dict(forward={side: forward_alone(node, x) for side, node in nodes.items()},
                      forward_backward={side: bench_neuron.step_of(node, x, grad) for side, node in nodes.items()})
        for direction, functions in passes.items():
            times = {side: median_and_minimum(seconds)
                     for side, seconds in interleaved(functions, 2 * args.repeats, clock).items()}
            row[direction] = against_fastest(times)
            moved = TENSORS_MOVED[direction] * x.numel() * x.element_size()
            row[direction].update(bytes=moved, share_of_copy=shares(times, moved, card))


def grid(shape: tuple, dtype: torch.dtype, device: str) -> tuple:
    """Currents in eighths, of which all membranes of neurons with tau 2 are exact in fp32, and the spikes' gradient."""
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randint(-16, 25, shape, generator=generator, device=device).to(dtype) / 8
    return x, torch.randn(shape, generator=generator, device=device).to(dtype)


def their_neuron(kind: str, surrogate: str, storage: str, device: str) -> nn.Module:
    node = bench_neuron.spikingjellys(kind, surrogate).to(device)
    return node if storage is None else with_storage(node, storage, device)


def check(row: dict, side: str, node: nn.Module, x: Tensor, grad: Tensor, want: tuple, card: Card) -> bool:
    """Note how far a side is from our eager neuron, and what it takes of memory. That it runs is all that is needed."""
    step = bench_neuron.step_of(node, x, grad)
    spikes, grad_x = step()
    row['differs'][side] = dict(
        spikes=float((spikes != want[0]).float().mean()),
        gradient=float((grad_x.float() - want[1].float()).norm() / want[1].float().norm()))
    del spikes, grad_x
    before = card.allocated()
    row['peak_mib'][side] = (card.peak_of(step) - before) / 2**20
    return True


def forward_alone(node: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.no_grad():
            spikes = node(x)
        bench_neuron.forget(node)
        return spikes
    return forward


def against_fastest(times: Dict[str, dict]) -> dict:
    """Times, and ours against the fastest of the others."""
    row = dict(times=times)
    others = [side for side in times if side.startswith('spikingjelly')]
    if 'ours' in times and others:
        best = min(others, key=lambda side: times[side]['median_ms'])
        row.update(fastest=best, speedup=times[best]['median_ms'] / times['ours']['median_ms'],
                   speedup_min=times[best]['minimum_ms'] / times['ours']['minimum_ms'])
    return row


def shares(times: Dict[str, dict], moved: int, card: Card) -> Dict[str, float]:
    """Rate at which each side moves the fewest bytes, over that of a copy."""
    if card.copy_rate is None:
        return {}
    return {side: moved / (1e-3 * row['median_ms']) / card.copy_rate for side, row in times.items()}


def measure_other_neurons(report: dict, card: Card, args: argparse.Namespace) -> None:
    """Forward and backward of neurons that spikingjelly lacks or defines differently, in fp32."""
    x, grad = grid(args.shape, torch.float32, card.device)
    surrogate = dict(type='ATan', alpha=2.0)
    nodes = dict(CLIF=lambda: CLIFNode(tau=2.0, v_threshold=1.0, surrogate=surrogate, backend='compile'),
                 ILIF=lambda: ILIFNode(D=4, decay=0.25, backend='compile'),
                 SFA=lambda: SFANode(D=4, norm=4.0, backend='compile'),
                 GLIF=lambda: GLIFNode(T=args.time_steps, surrogate=surrogate))
    report['failed'] = {}
    clock, moved = card.kernel_clock(), TENSORS_MOVED['forward_backward'] * x.numel() * x.element_size()
    for name, build in nodes.items():
        def run() -> dict:
            step = bench_neuron.step_of(build().to(card.device), x, grad)
            return {name: median_and_minimum(interleaved({name: step}, args.repeats, clock)[name])}

        times = attempt(report['failed'], name, run)
        if times:
            report[name] = dict(times[name], share_of_copy=shares(times, moved, card).get(name))


# ---- training steps ----


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

    def peer(storage: str = None, channels_last: bool = False) -> nn.Module:
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
    set_tf32(precision == 'tf32')
    x, labels = batch_of(name, args.batch_size, args.size, card.device)
    report.update(batch_size=len(x), pixels=args.size, time_steps=T, options={}, failed={}, chosen={})
    steps = {}
    for side, builds in builds_of(name, T, precision, card.device).items():
        rows = report['options'][side] = {}
        for option, build in builds.items():
            tried = attempt(report['failed'], f'{side}, {option}',
                            lambda: try_option(build, x, labels, T if side != 'ann' else 1, precision, card, args))
            if tried is None:
                continue
            rows[option], step = tried
            if min(rows, key=lambda key: rows[key]['median_ms']) == option:
                steps[side], report['chosen'][side] = step, option
            del step, tried
            if card.is_gpu:
                torch.cuda.empty_cache()
    times = {side: median_and_minimum(seconds)
             for side, seconds in interleaved(steps, args.repeats, card.clock).items()}
    report.update(against_fastest(times))
    if {'ours', 'ann'} <= set(times):
        report.update(ann_ratio=times['ours']['median_ms'] / (T * times['ann']['median_ms']),
                      ann_ratio_min=times['ours']['minimum_ms'] / (T * times['ann']['minimum_ms']))
    set_tf32(False)


def set_tf32(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def try_option(build: Callable[[], nn.Module], x: Tensor, labels: Tensor, T: int, precision: str, card: Card,
               args: argparse.Namespace) -> tuple:
    """What a step costs, and the step."""
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
    x, labels = batch_of(name, args.batch_size, args.size, card.device)
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


# ---- recipes ----


def measure_recipe(report: dict, name: str, card: Card, args: argparse.Namespace) -> None:
    """Images per second of a config's whole step; half the batch as often as memory does not suffice."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    shape = training_shape(cfg)
    number = cfg.train_dataloader.batch_size
    if args.smoke:
        number = 2
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        model = build_untrained(cfg).train()
        model.init_weights()
        model = model.to(card.device)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    report.update(config_batch_size=number, dtype=str(getattr(wrapper, 'cast_dtype', 'fp32')))
    while number:
        try:
            report.update(recipe_times(model, wrapper, shape, number, card, args))
            return
        except Exception as error:
            if find_memory_error(error) is None or number == 1:
                raise
        report.setdefault('does_not_fit', []).append(number)
        number //= 2
        wrapper.zero_grad()
        torch.cuda.empty_cache()


def recipe_times(model: nn.Module, wrapper, shape: tuple, number: int, card: Card, args: argparse.Namespace) -> dict:
    inputs = torch.randint(0, 256, (number, *shape), dtype=torch.uint8, device=card.device)

    def step() -> dict:
        samples = [DataSample().set_gt_label(i % 1000) for i in range(number)]
        return model.train_step(dict(inputs=inputs, data_samples=samples), wrapper)

    for _ in range(3):  # compiles, makes the optimizer's state, and finds the scale of the loss
        losses = step()
    peak = card.peak_of(step)
    times = median_and_minimum(interleaved(dict(step=step), min(6, args.repeats), card.clock)['step'])
    return dict(times, batch_size=number, images_per_second=1e3 * number / times['median_ms'], peak_mib=peak / 2**20,
                losses={key: float(value) for key, value in losses.items()})


# ---- all of it ----


def recipes() -> List[str]:
    """Distillation configs for ImageNet, the paper's own first."""
    names = sorted(path.stem for path in CONFIGS.glob('*_in1k.py'))
    first = ('sew-resnet18', 'spikingformer-8-384', 'sew-resnet34', 'sew-resnet50', 'spikformer', 'spikingformer')
    return sorted(names, key=lambda name: next((i for i, start in enumerate(first) if name.startswith(start)), 99))


def sections_of(card: Card, args: argparse.Namespace) -> Dict[str, Callable[[dict], None]]:
    """All of them, the important ones first."""
    def one(function: Callable, *given) -> Callable[[dict], None]:
        return lambda report: function(report, *given, card, args)

    first, later = ('sew-resnet18', 'spikingformer-8-384'), ('sew-resnet34', 'sew-resnet50')
    plan = {'card': one(measure_card)}
    plan.update({f'neuron {kind}': one(measure_neuron, kind) for kind in SURROGATES})
    plan.update({f'step {name} bf16': one(measure_step, name, 'bf16') for name in first})
    plan.update({f'equal {name}': one(measure_equal, name) for name in first})
    plan.update({f'step {name} {how}': one(measure_step, name, how) for name in first for how in PRECISIONS[1:]})
    plan.update({f'recipe {name}': one(measure_recipe, name) for name in recipes()[:2]})
    plan.update({f'profile {name}': one(measure_profile, name) for name in first})
    plan.update({f'step {name} bf16': one(measure_step, name, 'bf16') for name in later})
    plan.update({f'recipe {name}': one(measure_recipe, name) for name in recipes()[2:]})
    plan.update({f'equal {name}': one(measure_equal, name) for name in later})
    plan['neuron others'] = one(measure_other_neurons)
    plan.update({f'neuron {kind} compiled': lambda report, kind=kind: measure_neuron(report, kind, card, args, True)
                 for kind in SURROGATES})
    plan.update({f'step {name} {how}': one(measure_step, name, how) for name in later for how in PRECISIONS[1:]})
    if args.smoke:
        plan = {name: run for name, run in plan.items() if not name.startswith(('step', 'recipe', 'equal')) or name in (
            'step sew-resnet18 bf16', 'step sew-resnet18 tf32', 'equal sew-resnet18', f'recipe {recipes()[0]}')}
    return {name: run for name, run in plan.items() if name.startswith(tuple(args.sections))}


class Remarks(logging.Handler):
    """Keeps what neurons say of their kernels, and warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING or message.startswith(('Neurons:', 'Mixed precision:')):
            self.lines.append(message[:400])


def headlines(sections: Dict[str, dict]) -> Dict[str, float]:
    """The smallest ratios, for the targets."""
    neurons = [row[direction] for name, section in sections.items() if name in {f'neuron {kind}' for kind in SURROGATES}
               for row in section.values() if isinstance(row, dict) for direction in TENSORS_MOVED if direction in row]
    found = dict(
        neuron_speedup=[row['speedup'] for row in neurons if 'speedup' in row],
        neuron_share_of_copy=[row['share_of_copy']['ours'] for row in neurons if 'ours' in row['share_of_copy']])
    steps = [section for name, section in sections.items() if name.startswith('step ') and name.endswith(' bf16')]
    found['step_speedup'] = [step['speedup'] for step in steps if 'speedup' in step]
    found['step_ann_ratio'] = [-step['ann_ratio'] for step in steps if 'ann_ratio' in step]
    return {key: abs(min(values)) for key, values in found.items() if values}


def main() -> None:
    start = time.monotonic()
    args = parse_args()
    remarks = Remarks()
    logger = MMLogger.get_instance('bench', log_level='INFO')
    for handler in logger.handlers:
        handler.setLevel(logging.ERROR)
    logger.addHandler(remarks)
    spikingjelly()
    set_tf32(False)
    card = Card(args.device)
    run = Sections(dict(environment('spikingjelly', 'numpy', 'timm'), date=f'{date.today():%Y-%m-%d}',
                        smoke=args.smoke, remarks=remarks.lines), args.minutes, args.out)
    for name, function in sections_of(card, args).items():
        run.run(name, function)
    run.result.update(headlines(run.result['sections']), minutes=(time.monotonic() - start) / 60)
    run.write()
    print(json.dumps(run.result))


if __name__ == '__main__':
    main()
