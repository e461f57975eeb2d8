"""The GPU that a benchmark runs on: its clock, its memory, its rate of copies."""
import argparse
import gc
import subprocess
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Callable, Dict

import torch
from networks import spikingjelly
from sections import last_lines
from timing import card_seconds, interleaved, median_and_minimum, wall_seconds


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


def attempt(failed: Dict[str, list], name: str, function: Callable, *given):
    """What ``function(*given)`` returns; if it fails, ``None``, and why is kept under its name."""
    try:
        return function(*given)
    except Exception:  # other people's kernels fail as they like
        failed[name] = last_lines()
        print(f'  {name} failed: {failed[name][-1]}', flush=True)
    free()
    return None


def free() -> None:
    """Give back the memory of what is gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_card(report: dict, card: Card, args: argparse.Namespace) -> None:
    """The rate at which memory is copied, which :class:`Card` is told, and what card and software this is."""
    source = torch.zeros(args.copied // 4, device=card.device)
    target = torch.empty_like(source)
    times = interleaved(dict(copy=lambda: target.copy_(source)), 2 * args.repeats, card.clock)['copy']
    moved = 2 * args.copied
    card.copy_rate = moved / median(times)
    report.update(card='none: a CPU stands for it', copy_bytes=moved, copy=median_and_minimum(times),
                  copy_gb_per_s=card.copy_rate / 1e9, failed={})
    if card.is_gpu:
        found = torch.cuda.get_device_properties(0)
        report.update(card=found.name, memory_gib=found.total_memory / 2**30, cuda=torch.version.cuda,
                      multiprocessors=found.multi_processor_count, cudnn=torch.backends.cudnn.version(),
                      driver=attempt(report['failed'], 'nvidia-smi', driver))
    report['packages'] = {name: version_or_none(name) for name in ('triton', 'cupy-cuda13x', 'torchvision')}
    report['spikingjelly_kernels'] = {
        kind: attempt(report['failed'], f'kernels of {kind}', kernels_of, kind, card.device)
        for kind in ('if', 'lif', 'plif')}


def driver() -> str:
    return subprocess.run(['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def kernels_of(kind: str, device: str) -> Dict[str, dict]:
    """What spikingjelly has chosen to compute a neuron, called directly and under ``torch.compile``, and why."""
    find = spikingjelly().functional.neuron_implementation
    return {how: find(kind, torch.device(device), execution=how) for how in ('eager', 'compile')}


def version_or_none(package: str):
    try:
        return version(package)
    except PackageNotFoundError:
        return None
