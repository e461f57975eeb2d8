"""What networks are run on where there is no GPU."""
import platform
from pathlib import Path


def processor() -> str:
    """What the CPU calls itself."""
    info = Path('/proc/cpuinfo')
    names = [line.partition(':')[2].strip() for line in info.read_text().splitlines()
             if line.startswith('model name')] if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()
