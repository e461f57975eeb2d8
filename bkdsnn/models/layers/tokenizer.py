"""Tokenizers of spiking transformers: convolutions and max-pools that turn an image into a map of tokens."""
from typing import Sequence

from torch import Tensor, nn

from .conv_unit import PARTS, SPIKE_FIRST, SpikingConvUnit, static_or_events
from .sizes import check_size

# For each patch size, which of the five convolutions are pooled.
POOLED = {4: (False, False, True, True, False), 16: (True, True, True, True, False)}


class SpikingTokenizer(nn.Sequential):
    """Five 3x3 convolutions, from an eighth of the channels to all of them, some with a 3x3 max-pool of stride 2.

    Where the pool sits decides how well gradients flow (CML, Zhou et al. 2023, arXiv 2305.05954): pooling currents
    before the neuron (CML) passes the gradient to the largest current, pooling spikes after it does not.

    Args:
        in_channels: Channels of the image.
        channels: Channels of the tokens, a multiple of 8.
        patch_size: 4 or 16, the side of a token in pixels.
        cml: Pool before the neuron instead of after it.
        spike_first: The neuron stands before the convolution (Spikingformer) or after its norm (Spikformer). In the
            latter case the last convolution is a position embedding: its spikes are added to its input.
        neuron: Config of the neurons.
        norm: Config of the norm layers.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, in_channels: int, channels: int, patch_size: int, cml: bool, spike_first: bool, neuron: dict,
                 norm: dict) -> None:
        if patch_size not in POOLED:
            raise ValueError(f'patch_size={patch_size} is unknown; choose from {list(POOLED)}.')
        if channels % 8:
            raise ValueError(f'channels={channels} must be a multiple of 8.')
        super().__init__()
        self.patch_size, self.embeds_position = patch_size, not spike_first
        widths = (in_channels, channels // 8, channels // 4, channels // 2, channels, channels)
        for i, (pooled, order) in enumerate(self._layout(patch_size, cml, spike_first)):
            self.append(SpikingConvUnit(
                widths[i], widths[i + 1], 3, norm=norm, order=order, neuron=None if spike_first and i == 0 else neuron,
                pool=nn.MaxPool2d(3, stride=2, padding=1) if pooled else None))

    @staticmethod
    def _layout(patch_size: int, cml: bool, spike_first: bool) -> Sequence[tuple]:
        """(pooled, order of the parts) of each unit."""
        pooled = POOLED[patch_size]
        if not spike_first:
            return [(p, PARTS if cml else ('conv', 'norm', 'neuron', 'pool')) for p in pooled]
        if cml:
            return [(p, SPIKE_FIRST) for p in pooled]
        # The pool follows the neuron, which belongs to the next unit.
        return [(p, ('neuron', 'pool', 'conv', 'norm')) for p in (False, *pooled[:-1])]

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Images (B, C, H, W), shown ``time_steps`` times, or frames (T, B, C, H, W), to tokens (T, B, C', H', W').

        Raises:
            ValueError: If the size is not a multiple of the patch size.
        """
        check_size(type(self).__name__, x, self.patch_size)
        stem, *units, last = self
        x = static_or_events(stem, x, time_steps)
        for unit in units:
            x = unit(x)
        return x + last(x) if self.embeds_position else last(x)
