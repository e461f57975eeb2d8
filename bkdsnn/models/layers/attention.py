"""Attention and MLP of spiking transformers, and the block that they make."""
from functools import partial
from typing import List

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .block import Block
from .compress import SpikeCompressor
from .conv_unit import SpikingConvUnit
from .random_draws import uniform_per_sample


def attend(q: Tensor, k: Tensor, v: Tensor, num_heads: int, scale: float) -> Tensor:
    """``scale * q k^T v`` per head, without a softmax.

    The product associates then, so the cheaper order is chosen from the shapes.

    Args:
        q: Spikes (T, B, C, H, W); ``k`` and ``v`` likewise.
        num_heads: Heads that share the channels.
        scale: Constant factor.

    Returns:
        Currents (T, B, C, H, W).
    """
    shape = v.shape
    # (T, B, heads, C / heads, tokens): transposed against the usual, so the products are too.
    q, k, v = (x.flatten(3).unflatten(2, (num_heads, -1)) for x in (q, k, v))
    head_channels, tokens = q.shape[-2:]
    out = (v @ k.mT) @ q if head_channels < tokens else v @ (k.mT @ q)
    return (out * scale).reshape(shape)


def build_attention_neuron(neuron: dict) -> nn.Module:
    """The neuron on what attention gives, with a threshold of 0.5; what has none, such as ``ReLU``, as it is."""
    return MODELS.build(dict(neuron, v_threshold=0.5) if 'v_threshold' in neuron else neuron)


class SpikingSelfAttention(nn.Module):
    """Self-attention of spikes (SSA): no softmax, a constant scale, and a neuron on the result.

    Args:
        channels: Channels of the input, a multiple of ``num_heads``.
        num_heads: Heads.
        neuron: Config of the neurons; the one on the result has a threshold of 0.5, see :func:`build_attention_neuron`.
        norm: Config of the norm layers.
        spike_first: The input are currents, which a neuron turns into spikes, and so is the output (Spikingformer);
            otherwise both are spikes (Spikformer).
        qkv_bias: Whether the convolutions of query, key and value have a bias.
        project_bias: Whether the one on the result has.
        batch_leak: Let the last neuron take the samples of a batch for time steps, sample by sample within a step, as
            published code of QKFormer does: membranes leak from one sample to the next, and the batch decides results.

    Raises:
        ValueError: If the channels cannot be split into the heads.
    """

    unit = SpikingConvUnit
    scale = 0.125  # the published models' constant, whatever the head size

    def __init__(self, channels: int, num_heads: int, neuron: dict, norm: dict, spike_first: bool,
                 qkv_bias: bool = False, project_bias: bool = True, batch_leak: bool = False) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'{type(self).__name__}: {channels} channels cannot be split into {num_heads} heads.')
        self.num_heads, self.batch_leak = num_heads, batch_leak
        self.input_neuron = MODELS.build(neuron) if spike_first else nn.Identity()
        self.query, self.key, self.value = (
            self.unit(channels, channels, 1, neuron=neuron, norm=norm, bias=qkv_bias) for _ in range(3))
        self.compressor, self.unfolding = None, None
        self.attention_neuron = build_attention_neuron(neuron)
        self.project = self.unit(channels, channels, 1, neuron=None if spike_first else neuron, norm=norm,
                                 bias=project_bias)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        x = self.input_neuron(x)
        layer = partial(attend if self.unfolding is None else self.unfolding.attend, num_heads=self.num_heads,
                        scale=self.scale)
        spikes = self.query(x), self.key(x), self.value(x)
        out = layer(*spikes) if self.compressor is None else self.compressor(layer, *spikes)
        out = self.attention_neuron(out)
        return self._project_leaking(out) if self.batch_leak else self.project(out)

    def _project_leaking(self, x: Tensor) -> Tensor:
        """The projection with one sample of T * B time steps, for whose convolution and norm nothing changes."""
        if getattr(self.project.neuron, '_stored', None) is not None:
            raise TypeError(f'{type(self).__name__}: with batch_leak=True samples are time steps, so the network does '
                            'not run step by step. Set model.backbone.batch_leak=False.')
        return self.project(x.flatten(0, 1).unsqueeze(1)).squeeze(1).unflatten(0, x.shape[:2])

    def compress_spikes(self, name: str) -> None:
        """Keep query, key and value for backward as bytes from now on; ``name`` is that of the layer, for errors."""
        self.compressor = SpikeCompressor(name)


class SpikingMLP(nn.Module):
    """Two 1x1 convolutions with ``ratio`` times the channels between them; arguments as in the attention."""

    def __init__(self, channels: int, ratio: float, neuron: dict, norm: dict, spike_first: bool) -> None:
        super().__init__()
        width = int(channels * ratio)
        self.input_neuron = MODELS.build(neuron) if spike_first else nn.Identity()
        self.expand = SpikingConvUnit(channels, width, 1, neuron=neuron, norm=norm, bias=True)
        self.reduce = SpikingConvUnit(width, channels, 1, neuron=None if spike_first else neuron, norm=norm, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        return self.reduce(self.expand(self.input_neuron(x)))


class DropPath(nn.Module):
    """Stochastic depth (Huang et al., 2016): drops a residual branch for whole samples, in all their time steps.

    timm's drops along the first axis, which is time here.

    Args:
        probability: Of dropping, in [0, 1); the branches kept are scaled by 1 / (1 - probability).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f'drop_path={probability} must be in [0, 1).')
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, ...) to the same shape; unchanged in eval mode."""
        if not self.training or self.probability == 0:
            return x
        uniform = uniform_per_sample(x.shape[1], *[1] * (x.dim() - 2), device=x.device)
        return x * ((uniform >= self.probability).to(x.dtype) / (1 - self.probability))

    def extra_repr(self) -> str:
        return f'probability={self.probability:g}'


def drop_path_rates(last: float, depth: int) -> List[float]:
    """Probabilities of ``depth`` blocks, rising linearly from 0 to ``last``."""
    return [last * i / max(depth - 1, 1) for i in range(depth)]


class SpikingTransformerBlock(Block):
    """Attention and MLP, each with a residual connection.

    Args:
        attention: Maps (T, B, C, H, W) to the same shape.
        mlp: Likewise.
        drop_path: Probability that a sample skips each of the two.
    """

    def __init__(self, attention: nn.Module, mlp: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.attention, self.mlp, self.drop_path = attention, mlp, DropPath(drop_path)

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        x = x + self.drop_path(self.attention(x))
        return x + self.drop_path(self.mlp(x))
