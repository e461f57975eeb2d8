"""Spikingformer with the CML tokenizer (Zhou et al., 2023, arXiv 2304.11954 and 2308.06787)."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import SpikingConvUnit
from .out_indices import parse_out_indices

SPIKE_FIRST = ('neuron', 'conv', 'norm', 'pool')


class SpikingSelfAttention(nn.Module):
    """Self-attention of spikes: no softmax, a constant scale.

    Args:
        channels: Channels of the input, a multiple of ``num_heads``.
        num_heads: Heads.
        neuron: Config of the neurons.
        norm: Config of the norm layers.
    """

    scale = 0.125  # the published models' constant, whatever the head size

    def __init__(self, channels: int, num_heads: int, neuron: dict, norm: dict) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'SpikingSelfAttention: {channels} channels cannot be split into {num_heads} heads.')
        self.num_heads = num_heads
        self.input_neuron = MODELS.build(neuron)
        self.query, self.key, self.value = (
            SpikingConvUnit(channels, channels, 1, neuron=neuron, norm=norm) for _ in range(3))
        self.project = SpikingConvUnit(channels, channels, 1, neuron=dict(neuron, v_threshold=0.5), norm=norm,
                                       bias=True, order=SPIKE_FIRST)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        spikes = self.input_neuron(x)
        # (T, B, heads, C / heads, N)
        q, k, v = (unit(spikes).flatten(3).unflatten(2, (self.num_heads, -1))
                   for unit in (self.query, self.key, self.value))
        tokens, head_channels = q.shape[-1], q.shape[-2]
        # Without a softmax the product associates; the cheaper order depends on the shapes. All tensors are transposed
        # against the usual (N, C / heads), so the products are too.
        if head_channels < tokens:
            out = (v @ k.mT) @ q
        else:
            out = v @ (k.mT @ q)
        return self.project((out * self.scale).reshape(x.shape))


class SpikingMLP(nn.Module):
    """Two 1x1 convolutions that spike first, with ``ratio`` times the channels between them."""

    def __init__(self, channels: int, ratio: float, neuron: dict, norm: dict) -> None:
        super().__init__()
        unit = dict(kernel_size=1, neuron=neuron, norm=norm, bias=True, order=SPIKE_FIRST)
        self.expand = SpikingConvUnit(channels, int(channels * ratio), **unit)
        self.reduce = SpikingConvUnit(int(channels * ratio), channels, **unit)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        return self.reduce(self.expand(x))


class SpikingformerBlock(nn.Module):
    """Attention and MLP, each with a residual connection of membrane-free currents."""

    def __init__(self, channels: int, num_heads: int, mlp_ratio: float, neuron: dict, norm: dict) -> None:
        super().__init__()
        self.attention = SpikingSelfAttention(channels, num_heads, neuron, norm)
        self.mlp = SpikingMLP(channels, mlp_ratio, neuron, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        x = x + self.attention(x)
        return x + self.mlp(x)


@MODELS.register_module()
class Spikingformer(BaseModule):
    """Spikingformer with the CML tokenizer: convolution, norm, max-pool, then the neuron of the next unit.

    Args:
        channels: Embedding channels, a multiple of 8 and of ``num_heads``.
        depth: Number of transformer blocks.
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons; the attention's output neuron uses a threshold of 0.5.
        num_heads: Attention heads.
        patch_size: 16 (four of the tokenizer's convolutions are followed by a pool) or 4 (two are).
        in_channels: Channels of the input.
        mlp_ratio: Width of the MLP in multiples of ``channels``.
        norm: Config of the norm layers.
        out_indices: Blocks (from 0) whose outputs are returned; ``None`` is the last one.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input's size is not a multiple of ``patch_size``.
    """

    # For each patch size, which of the tokenizer's five convolutions are pooled.
    pooled = {4: (False, False, True, True, False), 16: (True, True, True, True, False)}

    def __init__(self,
                 channels: int,
                 depth: int,
                 T: int,
                 neuron: dict,
                 num_heads: int = 8,
                 patch_size: int = 16,
                 in_channels: int = 3,
                 mlp_ratio: float = 4.0,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Union[dict, None] = None) -> None:
        super().__init__(init_cfg)
        if T < 1:
            raise ValueError(f'Spikingformer: T={T} must be at least 1 time step (model.backbone.T).')
        if patch_size not in self.pooled:
            raise ValueError(f'Spikingformer: patch_size={patch_size} is unknown; choose from {list(self.pooled)}.')
        if channels % 8:
            raise ValueError(f'Spikingformer: channels={channels} must be a multiple of 8.')
        self.out_indices = parse_out_indices('Spikingformer', out_indices, depth)
        self.T, self.patch_size = T, patch_size
        widths = (in_channels, channels // 8, channels // 4, channels // 2, channels, channels)
        self.tokenizer = nn.Sequential()
        for i, pooled in enumerate(self.pooled[patch_size]):
            self.tokenizer.append(SpikingConvUnit(
                widths[i], widths[i + 1], 3, neuron=neuron if i else None, norm=norm, order=SPIKE_FIRST,
                pool=nn.MaxPool2d(3, stride=2, padding=1) if pooled else None))
        self.blocks = nn.ModuleList(
            SpikingformerBlock(channels, num_heads, mlp_ratio, neuron, norm) for _ in range(max(self.out_indices) + 1))

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W).

        Returns:
            One (T, B, channels, H / patch_size, W / patch_size) per entry of ``out_indices``.
        """
        if x.shape[-2] % self.patch_size or x.shape[-1] % self.patch_size:
            raise ValueError(f'Spikingformer: the input is {x.shape[-2]}x{x.shape[-1]}, which is not a multiple of '
                             f'patch_size={self.patch_size}. Resize or pad it in the data pipeline.')
        stem, *units = self.tokenizer
        x = stem(x.unsqueeze(0)).expand(self.T, -1, -1, -1, -1) if x.dim() == 4 else stem(x)
        for unit in units:
            x = unit(x)
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
