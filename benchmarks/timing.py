"""What the benchmarks share: calls in turn, and what they ran on."""
import platform
import statistics
import time
from importlib.metadata import version
from typing import Callable, Dict, List

import torch
from torch.profiler import ProfilerActivity, profile

from bkdsnn.utils.processor import processor


def wall_seconds(function: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor_seconds(function: Callable[[], object]) -> float:
    """Seconds that all threads of the process compute in a call, which other processes hardly change."""
    start = time.process_time()
    function()
    return time.process_time() - start


def card_seconds(function: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Seconds that the GPU is busy with a call, or waits in it for the host.

    Args:
        function: What to time.
        before: Work for the GPU before the clock starts, so that the host can run ahead, as it does in training.
    """
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before()
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def interleaved(functions: Dict[str, Callable[[], object]], repeats: int,
                clock: Callable[[Callable[[], object]], float] = wall_seconds) -> Dict[str, List[float]]:
    """Seconds of each call; one of each in turn, after one that is not counted."""
    seconds: Dict[str, List[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            passed = clock(function)
            if repeat:
                seconds[name].append(passed)
    return seconds


def median_and_minimum(seconds: List[float]) -> Dict[str, float]:
    """Both in milliseconds."""
    return dict(median_ms=1e3 * statistics.median(seconds), minimum_ms=1e3 * min(seconds))


def profiled(function: Callable[[], object], **kwargs) -> list:
    """What the profiler records of a call, in order of time; its result lives until the end."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, **kwargs) as prof:
        result = function()  # noqa: F841
    return sorted(prof.profiler.kineto_results.events(), key=lambda event: event.start_ns())


def allocations(function: Callable[[], object]) -> List[int]:
    """Bytes that a call allocates, and negative those that it frees, in order; its result lives until the end."""
    return [event.nbytes() for event in profiled(function) if event.name() == '[memory]']


def environment(*packages: str) -> dict:
    """Versions of Python, torch and other packages, and the machine."""
    versions = {name: version(name) for name in ('torch', *packages)}
    return dict(versions=dict(python=platform.python_version(), **versions),
                machine=f'{processor()}, {torch.get_num_threads()} threads')
