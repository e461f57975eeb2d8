"""QKFormer: hierarchical spiking transformer with Q-K attention (Zhou et al., NeurIPS 2024, arXiv 2403.16552)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import (
    SpikingConvUnit,
    SpikingMLP,
    SpikingSelfAttention,
    SpikingTransformerBlock,
    build_attention_neuron,
    check_size,
    static_or_events,
)
from .arguments import check_time_steps, parse_arch, parse_out_indices


class TokenQKAttention(nn.Module):
    """Q-K token attention: a head's query spikes, summed and fired, mask the tokens of its key; linear in tokens.

    Args:
        channels: Channels of the input, a multiple of ``num_heads``.
        num_heads: Heads.
        neuron: Config of the neurons; the one on the summed query has a threshold of 0.5.
        norm: Config of the norm layers.
    """

    def __init__(self, channels: int, num_heads: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'TokenQKAttention: {channels} channels cannot be split into {num_heads} heads.')
        self.num_heads = num_heads
        self.query, self.key = (SpikingConvUnit(channels, channels, 1, neuron=neuron, norm=norm) for _ in range(2))
        self.attention_neuron = build_attention_neuron(neuron)
        self.project = SpikingConvUnit(channels, channels, 1, neuron=neuron, norm=norm, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        q, k = (unit(x).unflatten(2, (self.num_heads, -1)) for unit in (self.query, self.key))
        mask = self.attention_neuron(q.sum(3, keepdim=True))
        return self.project((mask * k).flatten(2, 3))


class SpikingPatchEmbedding(nn.Module):
    """Convolution units beside a 1x1 shortcut that spikes too; their sum goes to the next stage.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        pools: For each 3x3 unit, whether a 3x3 max-pool halves the size before its neuron.
        **unit: ``neuron`` and ``norm`` of the units.
    """

    def __init__(self, in_channels: int, channels: int, pools: Sequence[bool], **unit) -> None:
        super().__init__()
        self.units = nn.Sequential()
        for i, pooled in enumerate(pools):
            self.units.append(SpikingConvUnit(in_channels if i == 0 else channels, channels, 3, **unit,
                                              pool=nn.MaxPool2d(3, stride=2, padding=1) if pooled else None))
        self.shortcut = SpikingConvUnit(in_channels, channels, 1, stride=2**sum(pools), **unit)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to (T, B, C', H', W')."""
        return self.units(x) + self.shortcut(x)


@MODELS.register_module()
class QKFormer(BaseModule):
    """QKFormer: two stages of Q-K token attention, then one of spiking self-attention.

    In the public code the last neuron of the self-attention runs over time and batch folded together, so membranes
    leak from sample to sample and results depend on the batch; here every sample starts from rest. At a batch size of
    one the two are equal, and so tested. ``batch_leak=True`` computes as the public code does, to evaluate the
    published weights as published.

    Args:
        arch: ``'10-384'``, ``'10-512'``, ``'10-768'`` (ImageNet), ``'4-384'`` (CIFAR): blocks and channels; or a dict
            with ``depths`` (blocks of the three stages), ``channels`` (of the last stage; the others have a quarter
            and a half), ``num_heads`` and ``patch_size`` (16 or 4).
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons; those on attention use a threshold of 0.5.
        in_channels: Channels of the input.
        mlp_ratio: Width of the MLPs in multiples of their channels.
        norm: Config of the norm layers.
        out_indices: Stages (from 0) whose outputs are returned; ``None`` is the last one. Later stages are not built.
        batch_leak: Whether membranes leak through the batch, as above. Such a network does not run step by step.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input's size is not a multiple of the patch size.
    """

    arch_settings = {
        '10-384': dict(depths=(1, 2, 7), channels=384, num_heads=6, patch_size=16),
        '10-512': dict(depths=(1, 2, 7), channels=512, num_heads=8, patch_size=16),
        '10-768': dict(depths=(1, 2, 7), channels=768, num_heads=12, patch_size=16),
        '4-384': dict(depths=(1, 1, 2), channels=384, num_heads=8, patch_size=4),
    }
    # For each patch size: is the stem pooled, and the pools of the units of the three stages' embeddings.
    pools = {
        16: (True, ((True, False), (True, False), (True, False))),
        4: (False, ((False, ), (False, True), (False, True))),
    }

    def __init__(self,
                 arch: Union[str, dict],
                 T: int,
                 neuron: dict,
                 in_channels: int = 3,
                 mlp_ratio: float = 4.0,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 batch_leak: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        arch = parse_arch('QKFormer', arch, self.arch_settings)
        check_time_steps('QKFormer', T, neuron)
        channels, heads, self.patch_size = arch['channels'], arch['num_heads'], arch['patch_size']
        if self.patch_size not in self.pools or channels % 8 or len(arch['depths']) != 3:
            raise ValueError(f'QKFormer: arch={dict(arch)} needs three depths, channels that are a multiple of 8, and '
                             f'a patch_size of {list(self.pools)}.')
        if batch_leak and getattr(MODELS.get(neuron['type']), 'emits_integers', False):
            raise ValueError(f"QKFormer: batch_leak=True is for the published networks, whose spikes are binary, and "
                             f"{neuron['type']} emits integers; set batch_leak=False.")
        self.T, self.out_indices = T, parse_out_indices('QKFormer', out_indices, 3)
        unit = dict(neuron=neuron, norm=norm)
        stem_pooled, pools = self.pools[self.patch_size]
        self.stem = SpikingConvUnit(in_channels, channels // 8, 3, **unit,
                                    pool=nn.MaxPool2d(3, stride=2, padding=1) if stem_pooled else None)
        self.embeddings, self.stages = nn.ModuleList(), nn.ModuleList()
        for i in range(max(self.out_indices) + 1):
            width = channels // 2**(2 - i)
            self.embeddings.append(SpikingPatchEmbedding(width // 2, width, pools[i], **unit))
            self.stages.append(nn.Sequential(*(
                SpikingTransformerBlock(
                    TokenQKAttention(width, heads, **unit) if i < 2 else
                    SpikingSelfAttention(width, heads, spike_first=False, batch_leak=batch_leak, **unit),
                    SpikingMLP(width, mlp_ratio, spike_first=False, **unit)) for _ in range(arch['depths'][i]))))
        self.out_channels = width

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W). Height and width may differ.

        Returns:
            One (T, B, C', H', W') per entry of ``out_indices``. For static images the first convolution and norm run
            once.
        """
        check_size('QKFormer', x, self.patch_size)
        x = static_or_events(self.stem, x, self.T)
        outputs = []
        for i, (embedding, stage) in enumerate(zip(self.embeddings, self.stages)):
            x = stage(embedding(x))
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
