"""Max-Former: a spiking transformer that keeps high frequencies (Fang et al., NeurIPS 2025, arXiv 2505.18608)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import (
    SPIKE_FIRST,
    DepthwiseConvUnit,
    ResidualBlock,
    SpikingConvUnit,
    SpikingMLP,
    SpikingSelfAttention,
    check_size,
    drop_path_rates,
    static_or_events,
)
from .arguments import check_time_steps, parse_arch, parse_out_indices


def max_pool() -> nn.Module:
    """Halves height and width."""
    return nn.MaxPool2d(3, stride=2, padding=1)


class MaxEmbedding(nn.Module):
    """Halves the size by max-pools of currents: two 3x3 convolutions beside a 1x1 one, all on spikes.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, in_channels: int, channels: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        unit = dict(norm=norm, order=SPIKE_FIRST)
        self.neuron = MODELS.build(neuron)
        self.units = nn.Sequential(SpikingConvUnit(in_channels, channels, 3, neuron=None, pool=max_pool(), **unit),
                                   SpikingConvUnit(channels, channels, 3, neuron=neuron, **unit))
        self.shortcut = SpikingConvUnit(in_channels, channels, 1, neuron=None, pool=max_pool(), **unit)

    def forward(self, x: Tensor) -> Tensor:
        """Currents (T, B, C, H, W) to currents (T, B, C', H / 2, W / 2)."""
        spikes = self.neuron(x)
        return self.units(spikes) + self.shortcut(spikes)


class ImageNetEmbedding(nn.Module):
    """Reduces an image to a quarter of its size by strided convolutions; arguments as :class:`MaxEmbedding`."""

    def __init__(self, in_channels: int, channels: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        unit, width = dict(norm=norm, order=SPIKE_FIRST), channels // 2
        self.stem = SpikingConvUnit(in_channels, width, 3, stride=2, neuron=None, **unit)
        self.neuron = MODELS.build(neuron)
        self.units = nn.Sequential(SpikingConvUnit(width, channels, 3, stride=2, neuron=None, **unit),
                                   SpikingConvUnit(channels, channels, 3, neuron=neuron, **unit))
        self.shortcut = SpikingConvUnit(width, channels, 1, stride=2, neuron=None, **unit)

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Images (B, C, H, W), shown ``time_steps`` times, or frames (T, B, C, H, W), to (T, B, C', H / 4, W / 4)."""
        spikes = self.neuron(static_or_events(self.stem, x, time_steps))
        return self.units(spikes) + self.shortcut(spikes)


class SmallEmbedding(nn.Module):
    """Embeds a small image at its size; arguments as :class:`MaxEmbedding`."""

    def __init__(self, in_channels: int, channels: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        unit, width = dict(norm=norm, order=SPIKE_FIRST), channels // 2
        self.stem = SpikingConvUnit(in_channels, width, 3, neuron=None, **unit)
        self.units = nn.Sequential(SpikingConvUnit(width, channels, 3, neuron=neuron, **unit))
        self.shortcut = SpikingConvUnit(width, channels, 1, neuron=neuron, **unit)

    def forward(self, x: Tensor, time_steps: int) -> Tensor:
        """Images (B, C, H, W), shown ``time_steps`` times, or frames (T, B, C, H, W), to (T, B, C', H, W)."""
        x = static_or_events(self.stem, x, time_steps)
        return self.units(x) + self.shortcut(x)


@MODELS.register_module()
class MaxFormer(BaseModule):
    """Max-Former: depth-wise convolutions in the first two stages, spiking self-attention in the third, on currents.

    Stages are joined by max-pools of currents. The published classifier puts a neuron on the space mean: give
    :class:`bkdsnn.models.heads.SpikingLinearHead` a ``neuron``.

    Args:
        arch: ``'10-384'``, ``'10-512'``, ``'10-768'`` (ImageNet), ``'4-384'`` (CIFAR): blocks and channels; or a dict
            with ``depths`` (blocks of the three stages), ``channels`` (of the last stage; the others have a quarter
            and a half), ``num_heads``, ``kernel_sizes`` of the depth-wise convolutions of the first two stages
            (``None`` has none) and ``patch_size``: 16 (ImageNet) or 4.
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons; those on attention use a threshold of 0.5.
        in_channels: Channels of the input.
        mlp_ratio: Width of the MLPs in multiples of their channels.
        drop_path: Probability that a sample skips the last block's branches; it rises linearly from 0 at the first.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
        init_cfg: As in mmengine. Defaults to the authors': convolutions truncated normal of 0.02 for ImageNet,
            PyTorch's own for CIFAR.

    Raises:
        ValueError: If an argument is out of range, or the input's size is not a multiple of the patch size.
    """

    arch_settings = {
        '10-384': dict(depths=(1, 2, 7), channels=384, num_heads=6, kernel_sizes=(7, 5), patch_size=16),
        '10-512': dict(depths=(1, 2, 7), channels=512, num_heads=8, kernel_sizes=(7, 5), patch_size=16),
        '10-768': dict(depths=(1, 2, 7), channels=768, num_heads=12, kernel_sizes=(7, 5), patch_size=16),
        '4-384': dict(depths=(1, 1, 2), channels=384, num_heads=8, kernel_sizes=(None, 3), patch_size=4),
    }
    emits_spikes = False
    embeddings_of = {16: ImageNetEmbedding, 4: SmallEmbedding}

    def __init__(self,
                 arch: Union[str, dict],
                 T: int,
                 neuron: dict,
                 in_channels: int = 3,
                 mlp_ratio: float = 4.0,
                 drop_path: float = 0.0,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        arch = parse_arch('MaxFormer', arch, self.arch_settings)
        check_time_steps('MaxFormer', T, neuron)
        channels, depths, patch_size = arch['channels'], arch['depths'], arch['patch_size']
        kernel_sizes = (*arch['kernel_sizes'], None)
        if patch_size not in self.embeddings_of or channels % 8 or len(depths) != 3 or len(kernel_sizes) != 3:
            raise ValueError(f'MaxFormer: arch={dict(arch)} needs three depths, two kernel_sizes, channels that are a '
                             f'multiple of 8, and a patch_size of {list(self.embeddings_of)}.')
        if init_cfg is None and patch_size == 16:
            init_cfg = dict(type='TruncNormal', layer='Conv2d', std=0.02)
        super().__init__(init_cfg)
        self.T, self.out_indices = T, parse_out_indices('MaxFormer', out_indices, 3)
        self.patch_size = patch_size
        unit = dict(neuron=neuron, norm=norm)
        rates = drop_path_rates(drop_path, sum(depths))
        self.embeddings, self.stages = nn.ModuleList(), nn.ModuleList()
        for i in range(max(self.out_indices) + 1):
            width = channels // 2**(2 - i)
            self.embeddings.append(MaxEmbedding(width // 2, width, **unit) if i else
                                   self.embeddings_of[patch_size](in_channels, width, **unit))
            self.stages.append(nn.Sequential())
            for _ in range(depths[i]):
                mixer = {}
                if i == 2:
                    mixer = dict(attention=SpikingSelfAttention(width, arch['num_heads'], spike_first=True, **unit))
                elif kernel_sizes[i] is not None:
                    mixer = dict(mixer=DepthwiseConvUnit(width, width, kernel_sizes[i], bias=True, order=SPIKE_FIRST,
                                                         **unit))
                mlp = SpikingMLP(width, mlp_ratio, spike_first=True, **unit)
                self.stages[-1].append(ResidualBlock(rates.pop(0), **mixer, mlp=mlp))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W). Height and width may differ.

        Returns:
            One (T, B, C', H', W') per entry of ``out_indices``; the last one has H / patch_size and W / patch_size. For
            static images the first convolution and norm run once.
        """
        check_size('MaxFormer', x, self.patch_size)
        outputs = []
        for i, (embedding, stage) in enumerate(zip(self.embeddings, self.stages)):
            x = stage(embedding(x) if i else embedding(x, self.T))
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
