"""Blocks of backbones, which can be run once more in the backward pass instead of being kept."""
from functools import partial
from typing import Dict, Optional, Tuple

from torch import Tensor, is_grad_enabled, nn
from torch.utils.checkpoint import checkpoint

from ..neurons import SpikingNode
from ..neurons.base import State, going_on
from .compress import SpikeCompressor, kept_by_another
from .recompute import current_chunk, in_chunk
from .time_axis import expand_time


class Block(nn.Module):
    """A block whose inner activations ``with_cp`` drops in the forward pass and computes again in the backward pass.

    Losses, gradients, random draws and running statistics are those of a single pass, see
    :func:`bkdsnn.models.layers.learns_once`. Subclasses give :meth:`run`. Unlike a module whose ``forward`` is
    replaced, as mmengine's ``activation_checkpointing`` does, a copy runs its own layers.

    Attributes:
        with_cp: Whether the block is checkpointed (Chen et al., arXiv 1604.06174); see :func:`checkpoint_blocks_in`.
    """

    with_cp = False
    _compressor: Optional[SpikeCompressor] = None

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to (T, B, C', H', W')."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to (T, B, C', H', W')."""
        if not self.with_cp or not is_grad_enabled():
            return self.run(x)
        stored = {module: module._stored for module in self.modules() if getattr(module, '_stored', None) is not None}
        before = {node: states.get(node) for node, states in stored.items()}
        # What is the same in every step is kept once.
        image = getattr(x, 'expanded_from', None)
        time_steps, x = (1, x) if image is None else (len(x), image)
        run = partial(self._run_from, current_chunk(), before, time_steps)
        again = partial(checkpoint, run, use_reentrant=False)
        y, after = again(x) if self._compressor is None else self._compressor(again, x)
        for node, states in stored.items():
            states[node] = after[node]
        return y

    def _run_from(self, chunk: Optional[int], before: Dict[SpikingNode, State], time_steps: int, x: Tensor
                  ) -> Tuple[Tensor, Dict[SpikingNode, State]]:
        """The output, and the states of neurons that go on from some; backward must find these and the chunk again."""
        states = dict(before)
        with in_chunk(chunk), going_on(before, states), kept_by_another():
            return self.run(expand_time(x, time_steps)), states

    def compress_spikes(self, name: str) -> None:
        """Keep a checkpointed block's input as bytes, where it is of spikes; see :class:`SpikeCompressor`."""
        self._compressor = SpikeCompressor(name)


def checkpoint_blocks_in(network: nn.Module) -> None:
    """Checkpoint the blocks of a network, of nested ones the outermost.

    Raises:
        ValueError: If it has none.
    """
    if not _checkpoint_in(network):
        raise ValueError(f'with_cp=True: {type(network).__name__} has no blocks that can be run again. Derive those of '
                         'your own backbone from bkdsnn.models.layers.Block, or set with_cp=False.')


def _checkpoint_in(module: nn.Module) -> bool:
    if isinstance(module, Block):
        module.with_cp = True
        return True
    return any([_checkpoint_in(child) for child in module.children()])
