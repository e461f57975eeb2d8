"""Students as programs of torch.export, which PyTorch runs without this package and compiles for other devices."""
import io
from typing import Optional, Sequence

import torch
from torch.export import Dim, ExportedProgram

from .check import Runner
from .deployed import Deployed


def to_program(deployed: Deployed, shape: Sequence[int], batch_size: Optional[int] = None) -> ExportedProgram:
    """Export a student with all its time steps unrolled.

    The program takes ``inputs``, images (B, C, H, W) or frames (B, T, P, H, W), and returns class probabilities (B, K)
    and the logits of each time step (T, B, K).

    Args:
        deployed: The student.
        shape: Of one sample, (C, H, W) or (T, P, H, W); T, H and W are fixed by it.
        batch_size: B; ``None`` lets it vary.
    """
    # One sample would make the number of samples a constant.
    example = torch.zeros(batch_size or 2, *shape)
    dynamic = None if batch_size else dict(inputs={0: Dim('batch')})
    with torch.no_grad():
        program = torch.export.export(deployed, (example, ), dynamic_shapes=dynamic)
    for node in program.graph.nodes:
        node.meta.pop('stack_trace', None)  # paths of this machine
    return program


def program_to_bytes(program: ExportedProgram) -> bytes:
    """The content of the program's file (``.pt2``)."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def program_runner(content: bytes) -> Runner:
    """The program in a file, for :func:`bkdsnn.export.check`.

    Args:
        content: Of the file.
    """
    module = torch.export.load(io.BytesIO(content)).module()
    return Runner(lambda inputs: module(inputs)[1])
