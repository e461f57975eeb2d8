"""Convolution, norm and neuron as one unit: the only place that knows in which order they run."""
from functools import partial
from typing import Optional, Sequence

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..neurons.base import has_hooks
from .compress import SmallMaxPool2d, SpikeCompressor
from .norm import build_norm, count_repeats, is_local_batch_norm
from .recompute import learns_once
from .sparse_conv import SpikeConv2d
from .time_axis import expand_time, over_time
from .unfold import Unfolding

PARTS = ('conv', 'norm', 'pool', 'neuron')
SPIKE_FIRST = ('neuron', 'conv', 'norm', 'pool')


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
            ``('neuron', 'conv', 'norm', 'pool')`` for units that spike first.
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
        self.conv = self.build_conv(in_channels, out_channels, kernel_size, stride, bias, norm)
        self.norm = build_norm(norm, out_channels)
        self.pool = pool
        self.neuron = None if neuron is None else MODELS.build(neuron)
        self.order = [part for part in order if getattr(self, part) is not None]
        self.compressors = {}
        self.unfolding: Optional[Unfolding] = None
        self.neuron_follows_norm = ('norm', 'neuron') in zip(self.order, self.order[1:])

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        """The convolution; subclasses may put several layers here."""
        return SpikeConv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)

    def forward(self, x: Tensor, time_steps: int = 1, norm_counts_repeats: bool = False, takes_spikes: bool = True
                ) -> Tensor:
        """Run the unit.

        Args:
            x: (T, B, C, H, W), or (1, B, C, H, W) for an input that is the same in every time step.
            time_steps: What a T of 1 is expanded to as late as possible: before the neuron, or at the end. The layers
                before that run once.
            norm_counts_repeats: Whether the norm's running variance shall be that of the repeated input, see
                :func:`bkdsnn.models.layers.norm.count_repeats`.
            takes_spikes: Whether the convolution reads spikes, and not the data or currents; unfolded integers are
                then (T * D, B, C, H, W) up to it.

        Returns:
            (T, B, C', H', W').
        """
        parts = iter(self.order)
        with learns_once(self):
            for part in parts:
                if part == 'norm' and time_steps == 1 and self.norm_joins_neuron():
                    x = self.neuron(x, norm=self.norm)
                    next(parts)
                elif part == 'neuron':
                    x, time_steps = self.neuron(expand_time(x, time_steps)), 1
                elif part == 'norm' and norm_counts_repeats and time_steps > 1:
                    with count_repeats(self.norm, x, time_steps):
                        x = over_time(self.norm, x)
                elif part == 'conv' and takes_spikes and self.unfolding is not None:
                    x = self.unfolding.read(self.conv, x)
                else:
                    layer = partial(over_time, getattr(self, part))
                    x = self.compressors[part](layer, x) if part in self.compressors else layer(x)
        return expand_time(x, time_steps)

    def compress_spikes(self, name: str) -> None:
        """Keep spikes for backward as bytes, and of max-pools only the places; ``name`` of the unit is for errors."""
        self.compressors = {'conv': SpikeCompressor(f'{name}.conv')}
        if type(self.pool) is nn.MaxPool2d:
            self.pool = SmallMaxPool2d.like(self.pool)
        elif not isinstance(self.pool, (SmallMaxPool2d, type(None))):
            self.compressors['pool'] = SpikeCompressor(f'{name}.pool')

    def drop_norm(self) -> None:
        """Go on without the norm, which the convolution does from now on."""
        self.norm, self.neuron_follows_norm = None, False
        self.order.remove('norm')

    def norm_joins_neuron(self) -> bool:
        """Whether the neuron may run the norm in its own pass.

        It may if it follows the norm, can do so (:class:`~bkdsnn.models.neurons.StepNode`), and nobody listens between
        them; and if the norm is a batch norm whose statistics are those of this process alone.
        """
        return (self.neuron_follows_norm and getattr(self.neuron, 'takes_norm', False)
                and is_local_batch_norm(self.norm) and not has_hooks(self.norm) and not has_hooks(self.neuron))


class DepthwiseConvUnit(SpikingConvUnit):
    """Unit whose convolution sees each channel alone; it has as many channels as its input."""

    def build_conv(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, bias: bool,
                   norm: dict) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=in_channels,
                         bias=bias)


def static_or_events(stem: SpikingConvUnit, x: Tensor, time_steps: int, norm_counts_repeats: bool = True) -> Tensor:
    """Run a network's first unit: once for a static image (B, C, H, W), on every frame of events (T, B, C, H, W)."""
    if x.dim() == 4:
        return stem(x.unsqueeze(0), time_steps, norm_counts_repeats, takes_spikes=False)
    return stem(x, takes_spikes=False)
