"""Meta-SpikeFormer, or Spike-driven Transformer V2 (Yao et al., ICLR 2024, arXiv 2404.03663)."""
from typing import Optional, Sequence, Union

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import (
    SPIKE_FIRST,
    Block,
    NormAndPad,
    SpikeConv2d,
    SpikingConvUnit,
    SpikingMLP,
    SpikingSelfAttention,
    SpikingTransformerBlock,
    build_norm,
    drop_path_rates,
)
from .arguments import check_time_steps, parse_arch, parse_out_indices
from .strided_stages import StridedStages


class RepConvUnit(SpikingConvUnit):
    """Unit whose convolution is re-parameterisable: 1x1, norm and padding, 3x3 depth-wise, 1x1, norm."""

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        return nn.Sequential(
            SpikeConv2d(in_channels, in_channels, 1, bias=False),
            NormAndPad(in_channels, norm),
            nn.Conv2d(in_channels, in_channels, 3, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            build_norm(norm, out_channels))


class SeparableConvUnit(SpikingConvUnit):
    """Unit whose convolution is a depth-wise and a 1x1 one."""

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels, bias=bias),
            nn.Conv2d(in_channels, out_channels, 1, bias=bias))


class RepSelfAttention(SpikingSelfAttention):
    """Spiking self-attention with re-parameterisable convolutions."""

    unit = RepConvUnit


class MetaConvBlock(Block):
    """Separable and dense convolutions on currents, each pair with a residual connection.

    Args:
        channels: Channels of input and output.
        ratio: Width of the dense pair in multiples of ``channels``; the separable one has twice as many.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, channels: int, ratio: float, **unit) -> None:
        super().__init__()
        unit = dict(unit, order=SPIKE_FIRST)
        self.separable = nn.Sequential(SpikingConvUnit(channels, 2 * channels, 1, **unit),
                                       SeparableConvUnit(2 * channels, channels, 7, **unit))
        width = int(ratio * channels)
        self.dense = nn.Sequential(SpikingConvUnit(channels, width, 3, **unit),
                                   SpikingConvUnit(width, channels, 3, **unit))

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        x = x + self.separable(x)
        return x + self.dense(x)


@MODELS.register_module()
class MetaSpikeFormer(StridedStages):
    """Meta-SpikeFormer: three stages of convolution blocks, then two of spiking self-attention, all on currents.

    The published classifier puts a neuron on the space mean: give :class:`bkdsnn.models.heads.SpikingLinearHead` a
    ``neuron``.

    Args:
        arch: ``'8-384'``, ``'8-512'`` or ``'8-768'``, the published networks; or a dict with ``channels`` and
            ``depths`` (blocks) of the five stages and ``num_heads``.
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons; those on attention use a threshold of 0.5.
        in_channels: Channels of the input.
        mlp_ratio: Width of MLPs and dense convolutions in multiples of their channels.
        drop_path: Probability that a sample skips the last block's branches; it rises linearly over the blocks of the
            last two stages.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input is not a multiple of 16 pixels in height and width.
    """

    arch_settings = {
        '8-384': dict(channels=(48, 96, 192, 384, 480), depths=(1, 1, 2, 6, 2), num_heads=8),
        '8-512': dict(channels=(64, 128, 256, 512, 640), depths=(1, 1, 2, 6, 2), num_heads=8),
        '8-768': dict(channels=(96, 192, 384, 768, 960), depths=(1, 1, 2, 6, 2), num_heads=8),
    }

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
        super().__init__(init_cfg)
        arch = parse_arch('MetaSpikeFormer', arch, self.arch_settings)
        check_time_steps('MetaSpikeFormer', T, neuron)
        channels, depths, heads = arch['channels'], arch['depths'], arch['num_heads']
        if len(channels) != 5 or len(depths) != 5 or min(*channels, *depths) < 1:
            raise ValueError(f'MetaSpikeFormer: arch={dict(arch)} needs channels and depths of five stages, all at '
                             'least 1.')
        self.T, self.out_indices = T, parse_out_indices('MetaSpikeFormer', out_indices, 5)
        unit = dict(neuron=neuron, norm=norm)
        attention = dict(unit, spike_first=True)
        rates = drop_path_rates(drop_path, depths[3] + depths[4])

        def block(stage: int, width: int) -> nn.Module:
            if stage < 3:
                return MetaConvBlock(width, mlp_ratio, **unit)
            return SpikingTransformerBlock(RepSelfAttention(width, heads, project_bias=False, **attention),
                                           SpikingMLP(width, mlp_ratio, **attention), rates.pop(0))

        self.build_stages(in_channels, channels, depths, block, **unit)
