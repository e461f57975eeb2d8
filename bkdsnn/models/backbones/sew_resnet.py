"""SEW-ResNet: residual networks whose blocks join spikes element-wise (Fang et al., NeurIPS 2021)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import SEW_CONNECT, Block, SpikingConvUnit, static_or_events
from .arguments import check_time_steps, parse_arch, parse_out_indices


def check_connect(owner: str, connect: str, neuron: dict) -> None:
    """Raise ValueError unless ``connect`` names a SEW connection that the neuron's spikes can be joined by."""
    if connect not in SEW_CONNECT:
        raise ValueError(f'{owner}: connect={connect!r} is unknown; choose from {list(SEW_CONNECT)}.')
    if connect != 'ADD' and getattr(MODELS.get(neuron['type']), 'emits_integers', False):
        raise ValueError(f"{owner}: connect={connect!r} joins binary spikes, and {neuron['type']} emits integers; take "
                         "connect='ADD' or a binary neuron.")


class SEWBlock(Block):
    """Residual block: conv-norm-neuron units, then the SEW connection with the identity.

    Args:
        in_channels: Channels of the input.
        width: Channels of the inner convolutions; the output has ``width * expansion``.
        stride: Of the block.
        connect: ``'ADD'``, ``'AND'`` or ``'IAND'``.
        bottleneck: 1x1 - 3x3 - 1x1 convolutions with expansion 4 instead of two 3x3 ones.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, in_channels: int, width: int, stride: int, connect: str, bottleneck: bool, **unit) -> None:
        super().__init__()
        out_channels = width * 4 if bottleneck else width
        if bottleneck:
            self.unit1 = SpikingConvUnit(in_channels, width, 1, **unit)
            self.unit2 = SpikingConvUnit(width, width, 3, stride=stride, **unit)
            self.unit3 = SpikingConvUnit(width, out_channels, 1, **unit)
        else:
            self.unit1 = SpikingConvUnit(in_channels, width, 3, stride=stride, **unit)
            self.unit2 = SpikingConvUnit(width, out_channels, 3, **unit)
        self.last_unit = 'unit3' if bottleneck else 'unit2'
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = SpikingConvUnit(in_channels, out_channels, 1, stride=stride, **unit)
        self.connect = connect

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to (T, B, C', H', W')."""
        branch = self.unit2(self.unit1(x))
        if self.last_unit == 'unit3':
            branch = self.unit3(branch)
        identity = x if self.downsample is None else self.downsample(x)
        return SEW_CONNECT[self.connect](branch, identity)


@MODELS.register_module()
class SEWResNet(BaseModule):
    """SEW-ResNet for static images and event frames.

    Args:
        arch: 18, 34, 50, 101 or 152; or a dict with ``layers`` (blocks per stage), ``widths`` (channels per stage) and
            optionally ``bottleneck`` (False).
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons.
        connect: ``'ADD'`` (the paper's choice; features are integers), ``'AND'`` or ``'IAND'``.
        in_channels: Channels of the input.
        stem: ``'imagenet'`` (7x7 convolution with stride 2, then 3x3 max-pool with stride 2); ``'small'`` (3x3
            convolution with stride 1, no pool) for images of 8 to 64 pixels; or ``'halving'``, the same with stride 2,
            which makes all later maps a quarter as large.
        norm: Config of the norm layers; ``dict(type='SyncBN')`` shares statistics between processes.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
        zero_init_residual: Start with each block's branch silent (its last norm's weight is 0).
        init_cfg: As in mmengine. Defaults to Kaiming-normal convolutions (fan-out).

    Raises:
        ValueError: If an argument is out of range.
    """

    emits_spikes = True
    arch_settings = {
        18: dict(layers=(2, 2, 2, 2), widths=(64, 128, 256, 512), bottleneck=False),
        34: dict(layers=(3, 4, 6, 3), widths=(64, 128, 256, 512), bottleneck=False),
        50: dict(layers=(3, 4, 6, 3), widths=(64, 128, 256, 512), bottleneck=True),
        101: dict(layers=(3, 4, 23, 3), widths=(64, 128, 256, 512), bottleneck=True),
        152: dict(layers=(3, 8, 36, 3), widths=(64, 128, 256, 512), bottleneck=True),
    }
    stem_settings = dict(imagenet=dict(kernel_size=7, stride=2), small=dict(kernel_size=3, stride=1),
                         halving=dict(kernel_size=3, stride=2))

    def __init__(self,
                 arch: Union[int, dict],
                 T: int,
                 neuron: dict,
                 connect: str = 'ADD',
                 in_channels: int = 3,
                 stem: str = 'imagenet',
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 zero_init_residual: bool = False,
                 init_cfg: Optional[dict] = dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu')):
        super().__init__(init_cfg)
        arch = parse_arch('SEWResNet', arch, self.arch_settings, optional=('bottleneck', ))
        layers, widths, bottleneck = arch['layers'], arch['widths'], arch.get('bottleneck', False)
        if not layers or len(layers) != len(widths) or min(*layers, *widths) < 1:
            raise ValueError(f'SEWResNet: arch={dict(arch)} needs layers and widths of one length, all at least 1.')
        check_time_steps('SEWResNet', T, neuron)
        check_connect('SEWResNet', connect, neuron)
        if stem not in self.stem_settings:
            raise ValueError(f'SEWResNet: stem={stem!r} is unknown; choose from {list(self.stem_settings)}.')
        self.T = T
        self.out_indices = parse_out_indices('SEWResNet', out_indices, len(layers))
        self.zero_init_residual = zero_init_residual
        unit = dict(neuron=neuron, norm=norm)
        self.stem = SpikingConvUnit(in_channels, widths[0], **self.stem_settings[stem], **unit,
                                    order=('conv', 'norm', 'neuron', 'pool'),
                                    pool=nn.MaxPool2d(3, stride=2, padding=1) if stem == 'imagenet' else None)
        self.stages = []
        channels = widths[0]
        for i, (blocks, width) in enumerate(list(zip(layers, widths))[:max(self.out_indices) + 1]):
            stage = nn.Sequential()
            for j in range(blocks):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(SEWBlock(channels, width, stride, connect, bottleneck, **unit))
                channels = width * 4 if bottleneck else width
            self.stages.append(f'layer{i + 1}')
            self.add_module(self.stages[-1], stage)
        self.out_channels = channels

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``; then silence the branches if ``zero_init_residual`` asks for it."""
        super().init_weights()
        if self.zero_init_residual:
            for block in self.modules():
                if isinstance(block, SEWBlock):
                    norm = getattr(block, block.last_unit).norm
                    nn.init.zeros_(norm.weight)
                    # AND multiplies, so its neutral branch is all ones instead of silent.
                    nn.init.constant_(norm.bias, 1.0 if block.connect == 'AND' else 0.0)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W).

        Returns:
            One (T, B, C', H', W') per entry of ``out_indices``. For static images the stem's convolution and norm run
            once.
        """
        # The authors repeat the image after the stem's norm, so its statistics count each pixel once.
        x = static_or_events(self.stem, x, self.T, norm_counts_repeats=False)
        outputs = []
        for i, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
