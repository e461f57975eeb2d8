"""The SEW network for event cameras (Fang et al., NeurIPS 2021, section 4.2 and appendix)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import Block, SpikingConvUnit, over_time
from ..layers.compress import SmallMaxPool2d
from .arguments import parse_arch, parse_out_indices
from .sew_resnet import SEWBlock, check_connect


class SEWDVSStage(Block):
    """1x1 unit where the channels change, one SEW block, then a 2x2 max-pool."""

    def __init__(self, in_channels: int, channels: int, connect: str, **unit) -> None:
        super().__init__()
        self.widen = SpikingConvUnit(in_channels, channels, 1, **unit) if in_channels != channels else nn.Identity()
        self.block = SEWBlock(channels, channels, 1, connect, bottleneck=False, **unit)
        # With ceil_mode, sizes that are no multiple of 2 lose no border and a single pixel stays one.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to (T, B, C', H / 2, W / 2), rounded up."""
        return over_time(self.pool, self.block(self.widen(x)))

    def compress_spikes(self, name: str) -> None:
        """As of a block, and of the max-pool keep the places alone."""
        super().compress_spikes(name)
        self.pool = SmallMaxPool2d.like(self.pool)


@MODELS.register_module()
class SEWDVSNet(BaseModule):
    """SEW network of seven stages for event frames of any sensor size.

    The published head flattens the last map, which is one pixel at 128x128; the mean over space that
    :class:`bkdsnn.models.heads.SpikingLinearHead` takes is the same there and works for every size.

    Args:
        arch: ``'cifar10-dvs'`` or ``'dvs-gesture'``, the published widths; or ``dict(widths=(...))``, channels per
            stage.
        neuron: Config of the neurons; the authors use :class:`ParametricLIFNode`.
        connect: ``'ADD'``, ``'AND'`` or ``'IAND'``.
        in_channels: Polarities.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
            The authors distil ``backbone.stage5.widen``, a 16th of the sensor's height and width.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input are static images.
    """

    arch_settings = {
        'cifar10-dvs': dict(widths=(64, 64, 64, 64, 128, 128, 128)),
        'dvs-gesture': dict(widths=(32, 32, 32, 32, 32, 32, 32)),
    }

    def __init__(self,
                 arch: Union[str, dict],
                 neuron: dict,
                 connect: str = 'ADD',
                 in_channels: int = 2,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        widths = parse_arch('SEWDVSNet', arch, self.arch_settings)['widths']
        check_connect('SEWDVSNet', connect, neuron)
        self.out_indices = parse_out_indices('SEWDVSNet', out_indices, len(widths))
        self.stages = []
        for i, width in enumerate(widths[:max(self.out_indices) + 1]):
            stage = SEWDVSStage(widths[i - 1] if i else in_channels, width, connect, neuron=neuron, norm=norm)
            self.stages.append(f'stage{i + 1}')
            self.add_module(self.stages[-1], stage)
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Event frames (T, B, P, H, W).

        Returns:
            One (T, B, C, H', W') per entry of ``out_indices``; each stage halves height and width, rounded up.
        """
        if x.dim() != 5:
            raise ValueError(f'SEWDVSNet takes event frames (T, B, P, H, W), got shape {tuple(x.shape)}.')
        outputs = []
        for i, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
