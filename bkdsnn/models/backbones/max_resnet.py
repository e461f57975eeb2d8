"""Max-ResNet: a residual network on currents that max-pools (Fang et al., NeurIPS 2025, arXiv 2505.18608)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import SPIKE_FIRST, Block, SpikingConvUnit, static_or_events
from .arguments import check_time_steps, parse_arch, parse_out_indices


class MaxResNetBlock(Block):
    """Two 3x3 convolutions, each after a neuron, with a residual connection of currents (membrane shortcut).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        stride: 2 max-pools the currents of the first convolution, and strides the shortcut.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        unit = dict(norm=norm, order=SPIKE_FIRST)
        pool = nn.MaxPool2d(3, stride=2, padding=1) if stride == 2 else None
        self.units = nn.Sequential(SpikingConvUnit(in_channels, channels, 3, neuron=neuron, pool=pool, **unit),
                                   SpikingConvUnit(channels, channels, 3, neuron=neuron, **unit))
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = SpikingConvUnit(in_channels, channels, 1, stride=stride, neuron=None, **unit)

    def run(self, x: Tensor) -> Tensor:
        """Currents (T, B, C, H, W) to currents (T, B, C', H', W')."""
        identity = x if self.downsample is None else self.downsample(x, takes_spikes=False)
        return self.units(x) + identity


@MODELS.register_module()
class MaxResNet(BaseModule):
    """Max-ResNet for small images: three stages on currents, and the spikes of a last neuron as features.

    Its shortcuts convolve currents, which multiplies.

    Args:
        arch: 18, the published one; or a dict with ``layers`` (blocks) and ``widths`` (channels) of the stages and
            ``stem`` (channels of the first convolution).
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons.
        in_channels: Channels of the input.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one, whose output are spikes;
            those of others are currents. Later stages are not built.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range.
    """

    arch_settings = {18: dict(layers=(3, 3, 2), widths=(128, 256, 512), stem=64)}

    def __init__(self,
                 arch: Union[int, dict],
                 T: int,
                 neuron: dict,
                 in_channels: int = 3,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        arch = parse_arch('MaxResNet', arch, self.arch_settings)
        check_time_steps('MaxResNet', T, neuron)
        layers, widths, channels = arch['layers'], arch['widths'], arch['stem']
        if len(layers) != len(widths) or min(*layers, *widths) < 1:
            raise ValueError(f'MaxResNet: arch={dict(arch)} needs as many layers as widths, all at least 1.')
        self.T, self.out_indices = T, parse_out_indices('MaxResNet', out_indices, len(layers))
        unit = dict(neuron=neuron, norm=norm)
        self.stem = SpikingConvUnit(in_channels, channels, 3, neuron=None, norm=norm)
        self.stages = nn.ModuleList()
        for i, (blocks, width) in enumerate(list(zip(layers, widths))[:max(self.out_indices) + 1]):
            self.stages.append(nn.Sequential())
            for j in range(blocks):
                self.stages[-1].append(MaxResNetBlock(channels, width, 2 if i and j == 0 else 1, **unit))
                channels = width
        self.out_channels = channels
        self.emits_spikes = max(self.out_indices) == len(layers) - 1
        self.neuron = MODELS.build(neuron) if self.emits_spikes else None

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W), of any size.

        Returns:
            One (T, B, C', H', W') per entry of ``out_indices``. For static images the first convolution and norm run
            once.
        """
        x = static_or_events(self.stem, x, self.T)
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outputs.append(x)
        if self.neuron is not None:
            outputs[-1] = self.neuron(outputs[-1])
        return tuple(outputs)
