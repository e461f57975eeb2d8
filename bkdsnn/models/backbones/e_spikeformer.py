"""E-SpikeFormer, or Spike-driven Transformer V3 (Yao et al., TPAMI 2025, arXiv 2411.16061)."""
from typing import Optional, Sequence, Union

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import (
    SPIKE_FIRST,
    Block,
    DepthwiseConvUnit,
    LayerScale,
    ResidualBlock,
    SpikingConvUnit,
    SpikingMLP,
    SpikingSelfAttention,
    build_norm,
    drop_path_rates,
)
from .arguments import check_time_steps, parse_arch, parse_out_indices
from .strided_stages import StridedStages


def separable_convs(channels: int, kernel_size: int, neuron: dict, norm: dict) -> nn.Sequential:
    """1x1, depth-wise and 1x1 convolution, each after a neuron, with twice the channels between them."""
    unit, width = dict(neuron=neuron, norm=norm, order=SPIKE_FIRST), 2 * channels
    return nn.Sequential(SpikingConvUnit(channels, width, 1, **unit),
                         DepthwiseConvUnit(width, width, kernel_size, **unit),
                         SpikingConvUnit(width, channels, 1, **unit))


def dense_convs(channels: int, ratio: float, bias: bool, neuron: dict, norm: dict) -> nn.Sequential:
    """Two 3x3 convolutions, each after a neuron, with ``ratio`` times the channels between them."""
    unit, width = dict(neuron=neuron, norm=norm, order=SPIKE_FIRST, bias=bias), int(ratio * channels)
    return nn.Sequential(SpikingConvUnit(channels, width, 3, **unit), SpikingConvUnit(width, channels, 3, **unit))


class WideValueAttention(SpikingSelfAttention):
    """Spiking self-attention with four times as wide values, scaled by ``2 / sqrt(channels of a head)``."""

    value_ratio = 4

    def __init__(self, channels: int, num_heads: int, neuron: dict, norm: dict) -> None:
        super().__init__(channels, num_heads, neuron, norm, spike_first=True, project_bias=False)
        width = self.value_ratio * channels
        self.scale = 2 * (channels // num_heads)**-0.5
        self.value = self.unit(channels, width, 1, neuron=neuron, norm=norm)
        self.project = self.unit(width, channels, 1, neuron=None, norm=norm)


class FactorisedConvUnit(SpikingConvUnit):
    """Unit whose 1x1 convolution is two with a norm between, which can be joined into one for inference."""

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        return nn.Sequential(nn.Conv2d(in_channels, in_channels, 1, bias=False), build_norm(norm, in_channels),
                             nn.Conv2d(in_channels, out_channels, 1, bias=False))


class WideFactorisedConvUnit(SpikingConvUnit):
    """As :class:`FactorisedConvUnit`, with half as many channels more between, and one more norm at the end."""

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        width = int(1.5 * in_channels)
        return nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), build_norm(norm, width),
                             nn.Conv2d(width, out_channels, 1, bias=False), build_norm(norm, out_channels))


class FactorisedAttention(SpikingSelfAttention):
    """Spiking self-attention with factorised convolutions."""

    unit = WideFactorisedConvUnit


class LargeBlock(Block):
    """Block of the large networks: attention and MLP with layer scale, in the smaller one after a convolution.

    Args:
        channels: Of input and output.
        num_heads: Heads of the attention.
        ratio: Width of the MLP in multiples of the channels.
        has_conv: Whether the convolution is there.
        drop_path: Probability that a sample skips attention or MLP.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, channels: int, num_heads: int, ratio: float, has_conv: bool, drop_path: float, **unit) -> None:
        super().__init__()
        self.conv = FactorisedConvUnit(channels, channels, 1, **unit, order=SPIKE_FIRST) if has_conv else None
        attention = FactorisedAttention(channels, num_heads, spike_first=True, project_bias=False, **unit)
        self.residual = ResidualBlock(
            drop_path, attention=nn.Sequential(attention, LayerScale(channels)),
            mlp=nn.Sequential(SpikingMLP(channels, ratio, spike_first=True, **unit), LayerScale(channels)))

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        return self.residual(x if self.conv is None else x + self.conv(x))


@MODELS.register_module()
class ESpikeFormer(StridedStages):
    """E-SpikeFormer: stages of convolution blocks, then of spiking self-attention, all on currents.

    The published networks have one time step and :class:`~bkdsnn.models.neurons.SFANode` with ``D = norm = 4``, which
    unfold into four binary steps (:func:`bkdsnn.models.spike_driven`). Their classifier reads the integers of a last
    neuron with ``norm=1``: give :class:`bkdsnn.models.heads.SpikingLinearHead` that ``neuron``. The code of the large
    ones rounds half up (``half_up=True``), and has a second classifier for distillation, see
    :class:`bkdsnn.models.heads.SpikingDistillationHead`.

    Args:
        arch: ``'t'``, ``'s'``, ``'m'`` or ``'l'`` (2.7, 5.1, 10.0 and 19.0 million parameters), ``'12-512'`` or
            ``'12-768'`` (83 and 171 million); or a dict with ``channels`` and ``depths`` (blocks) of the five stages
            (four of the large kinds), ``num_heads`` and ``kind``: ``'separable'``, ``'factorised'``, or
            ``'factorised-conv'`` with one more convolution in each block, as ``'12-512'``.
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons.
        in_channels: Channels of the input.
        mlp_ratio: Width of MLPs and dense convolutions in multiples of their channels.
        drop_path: Probability that a sample skips the last block's branches; it rises linearly over the blocks with
            attention.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input is not a multiple of 16 pixels in height and width.
    """

    arch_settings = {
        **{name: dict(channels=channels, depths=(1, 1, 2, 6, 2), num_heads=8, kind='separable') for name, channels in (
            ('t', (12, 24, 48, 96, 128)), ('s', (16, 32, 64, 128, 192)), ('m', (24, 48, 96, 192, 240)),
            ('l', (32, 64, 128, 256, 360)))},
        '12-512': dict(channels=(64, 128, 256, 512), depths=(1, 1, 2, 12), num_heads=8, kind='factorised-conv'),
        '12-768': dict(channels=(98, 196, 384, 768), depths=(1, 1, 2, 12), num_heads=8, kind='factorised'),
    }
    stages_of = {'separable': 5, 'factorised': 4, 'factorised-conv': 4}

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
        arch = parse_arch('ESpikeFormer', arch, self.arch_settings)
        check_time_steps('ESpikeFormer', T, neuron)
        channels, depths, self.kind, self.num_heads = (arch[key] for key in ('channels', 'depths', 'kind', 'num_heads'))
        stages = self.stages_of.get(self.kind)
        if stages is None or len(channels) != stages or len(depths) != stages or min(*channels, *depths) < 1:
            raise ValueError(f'ESpikeFormer: arch={dict(arch)} needs a kind of {list(self.stages_of)}, and channels '
                             'and depths of five stages (separable) or four, all at least 1.')
        self.T, self.out_indices = T, parse_out_indices('ESpikeFormer', out_indices, stages)
        self.mlp_ratio, self.unit = mlp_ratio, dict(neuron=neuron, norm=norm)
        rates = drop_path_rates(drop_path, sum(depths[3:]))

        def block(stage: int, width: int) -> nn.Module:
            return self._conv_block(width) if stage < 3 else self._attention_block(width, rates.pop(0))

        self.build_stages(in_channels, channels, depths, block, **self.unit)

    def _conv_block(self, channels: int) -> nn.Module:
        is_large = self.kind != 'separable'
        branches = {} if is_large else dict(separable=separable_convs(channels, 7, **self.unit))
        return ResidualBlock(**branches, dense=dense_convs(channels, self.mlp_ratio, bias=is_large, **self.unit))

    def _attention_block(self, channels: int, drop_path: float) -> nn.Module:
        if self.kind != 'separable':
            return LargeBlock(channels, self.num_heads, self.mlp_ratio, self.kind == 'factorised-conv', drop_path,
                              **self.unit)
        return ResidualBlock(drop_path, separable=separable_convs(channels, 3, **self.unit),
                             attention=WideValueAttention(channels, self.num_heads, **self.unit),
                             mlp=SpikingMLP(channels, self.mlp_ratio, spike_first=True, **self.unit))
