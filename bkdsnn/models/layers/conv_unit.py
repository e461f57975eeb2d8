"""Convolution, norm and neuron as one unit: the only place that knows in which order they run."""
from typing import Optional, Sequence

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .norm import build_norm
from .time import over_time

PARTS = ('conv', 'norm', 'pool', 'neuron')


class SpikingConvUnit(nn.Module):
    """Convolution, norm and neuron over time.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Of the convolution; padding keeps the size at stride 1.
        neuron: Config of the neuron; ``None`` leaves it out.
        norm: Config of the norm layer.
        stride: Of the convolution.
        bias: Whether the convolution has a bias.
        pool: Module to run at its place in ``order``, or ``None``.
        order: Which part runs when: ``('conv', 'norm', 'pool', 'neuron')`` for SEW-ResNet and tokenizers,
            ``('neuron', 'conv', 'norm')`` for units that spike first.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 neuron: Optional[dict],
                 norm: dict,
                 stride: int = 1,
                 bias: bool = False,
                 pool: Optional[nn.Module] = None,
                 order: Sequence[str] = PARTS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        self.norm = build_norm(norm, out_channels)
        self.pool = pool
        self.neuron = None if neuron is None else MODELS.build(neuron)
        self.order = [part for part in order if getattr(self, part) is not None]

    def forward(self, x: Tensor, time_steps: int = 1) -> Tensor:
        """Run the unit.

        Args:
            x: (T, B, C, H, W), or (1, B, C, H, W) for an input that is the same in every time step.
            time_steps: What a T of 1 is expanded to right before the neuron, so that the layers before it run once.

        Returns:
            (T, B, C', H', W').
        """
        for part in self.order:
            if part == 'neuron':
                x = self.neuron(x.expand(time_steps, *x.shape[1:]) if time_steps > 1 else x)
            else:
                x = over_time(getattr(self, part), x)
        return x
