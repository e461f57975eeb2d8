"""What backbones share whose stages each begin with a strided convolution."""
import math
from typing import Callable, Sequence, Tuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import SPIKE_FIRST, SpikingConvUnit, check_size, static_or_events


class StridedStages(BaseModule):
    """Stages of blocks on currents, each after a convolution with a stride, the first one of 7x7.

    A subclass sets ``T`` and ``out_indices`` and calls :meth:`build_stages`.
    """

    strides = (2, 2, 2, 2, 1)
    emits_spikes = False

    def build_stages(self, in_channels: int, channels: Sequence[int], depths: Sequence[int],
                     block: Callable[[int, int], nn.Module], neuron: dict, norm: dict) -> None:
        """Build as many stages as ``out_indices`` asks for.

        Args:
            in_channels: Channels of the input.
            channels: Of each stage.
            depths: Blocks of each stage.
            block: Makes one from the number of its stage and its channels.
            neuron: Config of the neurons.
            norm: Config of the norm layers.
        """
        self.downsamples, self.stages = nn.ModuleList(), nn.ModuleList()
        for i in range(max(self.out_indices) + 1):
            self.downsamples.append(SpikingConvUnit(
                channels[i - 1] if i else in_channels, channels[i], 3 if i else 7, stride=self.strides[i], bias=True,
                neuron=neuron if i else None, norm=norm, order=SPIKE_FIRST))
            self.stages.append(nn.Sequential(*(block(i, channels[i]) for _ in range(depths[i]))))
        self.out_channels = channels[max(self.out_indices)]

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W). Height and width may differ.

        Returns:
            One (T, B, C', H', W') per entry of ``out_indices``; the stages have strides 2, 4, 8, 16 and 16. For static
            images the first convolution and norm run once.

        Raises:
            ValueError: If height or width is not a multiple of the product of the strides.
        """
        check_size(type(self).__name__, x, math.prod(self.strides[:len(self.stages)]))
        outputs = []
        for i, (downsample, stage) in enumerate(zip(self.downsamples, self.stages)):
            x = stage(static_or_events(downsample, x, self.T) if i == 0 else downsample(x))
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
