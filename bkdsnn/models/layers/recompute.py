"""Gradient checkpointing runs a layer once more in the backward pass: what that must not change."""
from contextlib import contextmanager
from typing import Optional

import torch
from torch import nn

_chunk: Optional[int] = None


def is_recomputing() -> bool:
    """Whether this is a forward pass inside a backward pass, as of ``torch.utils.checkpoint`` in either mode."""
    # A compiler sees checkpoints by itself. Otherwise PyTorch numbers the backward pass that runs in this thread.
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def current_chunk() -> Optional[int]:
    """Number of the chunk of :class:`bkdsnn.models.TimeChunks` that runs; ``None`` outside of chunks."""
    return _chunk


@contextmanager
def in_chunk(number: Optional[int]):
    """Inside the block a chunk runs, for the first time or again; ``None`` is no chunk."""
    global _chunk
    before, _chunk = _chunk, number
    try:
        yield
    finally:
        _chunk = before


@contextmanager
def learns_once(module: nn.Module):
    """Inside the block a module may change its buffers, running statistics for one; in a recomputation it forgets it.

    The layers in it use it themselves, so that any part of a network may be checkpointed. Modules of one's own, whose
    buffers change in training, can be wrapped in the same way.
    """
    if not module.training or not is_recomputing():
        yield
        return
    # Copies, as autograd wants tensors of the same shapes as in the first pass, and may have saved the old ones.
    kept = [(part, dict(part._buffers)) for part in module.modules()]
    for part, buffers in kept:
        part._buffers.update((name, buffer if buffer is None else buffer.clone()) for name, buffer in buffers.items())
    try:
        yield
    finally:
        for part, buffers in kept:
            part._buffers.update(buffers)
