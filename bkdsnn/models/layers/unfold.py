"""Layers that read integers as binary spikes: each integer from 0 to D is as many spikes, in D steps.

A layer with weights runs on the binary spikes of all steps, so that its products are additions; what it makes of the D
steps of a time step is summed up, as a membrane would. All that comes after it, up to the next neuron, is what it was.
"""
from dataclasses import dataclass
from typing import Optional

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Unfolding:
    """How the integers that a layer reads are unfolded.

    Attributes:
        steps: Binary steps of each time step, D.
        norm: Divisor of the integers.
    """

    steps: int
    norm: float

    def split(self, x: Tensor) -> Tensor:
        """(T * D, ...) as (T, D, ...)."""
        return x.unflatten(0, (-1, self.steps))

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the D steps (T, D, ...), divided by ``norm``: (T, ...)."""
        x = x.sum(1)
        return x if self.norm == 1 else x / self.norm

    def read(self, layer: nn.Module, x: Tensor) -> Tensor:
        """What a convolution or linear layer, or a sequence that begins with one, makes of integers.

        Args:
            layer: On (N, C, H, W) or (N, C); its weights meet the spikes, its bias is added once a time step.
            x: Spikes (T * D, B, ...).

        Returns:
            (T, B, ...).
        """
        first, *rest = layer if isinstance(layer, nn.Sequential) else [layer]
        spikes = x.flatten(0, 1)
        if isinstance(first, nn.Linear):
            y, axes = F.linear(spikes, first.weight), ()
        else:
            y, axes = first._conv_forward(spikes, first.weight, None), (1, 1)
        y = self.sum(self.split(y.unflatten(0, x.shape[:2])))
        if first.bias is not None:
            y = y + first.bias.view(-1, *axes)
        for module in rest:
            y = module(y.flatten(0, 1)).unflatten(0, y.shape[:2])
        return y

    def attend(self, q: Tensor, k: Tensor, v: Tensor, num_heads: int, scale: float) -> Tensor:
        """As :func:`bkdsnn.models.layers.attend`; in each product, binary spikes of one side add up what the other has.

        Args:
            q: Spikes (T * D, B, C, H, W); ``k`` and ``v`` likewise.
            num_heads: Heads that share the channels.
            scale: Constant factor.

        Returns:
            Currents (T, B, C, H, W).
        """
        size = v.shape[-2:]
        q, k, v = (self.split(x.flatten(3).unflatten(2, (num_heads, -1))) for x in (q, k, v))
        k = self.sum(k).unsqueeze(1)
        head_channels, tokens = q.shape[-2:]
        if head_channels < tokens:
            out = self.sum(v @ k.mT).unsqueeze(1) @ q
        else:
            out = v @ self.sum(k.mT @ q).unsqueeze(1)
        out = self.sum(out) * scale
        return out.reshape(*out.shape[:2], -1, *size)


def unfold_layers(network: nn.Module, unfolding: Optional[Unfolding]) -> None:
    """Have the layers of a network read binary spikes; ``None`` has them read what there is."""
    for module in network.modules():
        if hasattr(module, 'unfolding'):
            module.unfolding = unfolding
