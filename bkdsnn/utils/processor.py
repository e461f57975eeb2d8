"""What networks are run on: this machine's processor, and the GPUs that this process may use."""
import os
import platform
from pathlib import Path
from typing import List

import torch

# Of a training step of SEW-ResNet-18 in emulated bfloat16: 16.3 s against 0.76 s in fp32 (AMD EPYC, 2 cores,
# benchmarks/bench_step.py, 2026-11-28).
SLOWER = 21


def processor() -> str:
    """What the CPU calls itself."""
    info = Path('/proc/cpuinfo')
    names = [line.partition(':')[2].strip() for line in info.read_text().splitlines()
             if line.startswith('model name')] if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use, which a scheduler or ``taskset`` can make fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def visible_gpus() -> List[str]:
    """This process's GPUs, each as ``CUDA_VISIBLE_DEVICES`` of another process names it: by its number or UUID."""
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    count = torch.cuda.device_count()
    return [name.strip() for name in given.split(',')][:count] if given else list(map(str, range(count)))


def cpu_computes_in_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, as far as PyTorch knows."""
    # Older ones do not.
    capabilities = getattr(torch.cpu, 'get_capabilities', dict)()
    return any(has for name, has in capabilities.items() if 'bf16' in name)


def emulation_refused(setting: str, way_out: str, force: str) -> ValueError:
    """An error for bfloat16 on a CPU that has no instructions for it.

    Args:
        setting: That asks for it.
        way_out: What to do instead.
        force: Setting that has it done all the same.
    """
    return ValueError(f'{setting}: this CPU has no instructions for bfloat16, and emulates it about {SLOWER} times '
                      f'slower than it computes in fp32. {way_out}, or set {force}=True to have it all the same.')
