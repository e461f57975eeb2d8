"""What Spikingformer and Spikformer share: a tokenizer and a stack of blocks."""
from typing import Optional, Sequence, Tuple, Union

from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import SpikingMLP, SpikingSelfAttention, SpikingTokenizer, SpikingTransformerBlock, drop_path_rates
from .arguments import check_time_steps, parse_arch, parse_out_indices


class SpikingTransformer(BaseModule):
    """Tokenizer, then blocks of attention and MLP on a map of tokens.

    Args:
        arch: A key of ``arch_settings``, DEPTH-CHANNELS: ``'8-384'``, ``'8-512'``, ``'8-768'`` (ImageNet),
            ``'4-256'``, ``'2-384'``, ``'4-384'`` (CIFAR), ``'2-256'`` (event frames); or a dict with ``depth``,
            ``channels`` (a multiple of 8 and of the heads), ``num_heads`` and ``patch_size`` (4 or 16).
        T: Time steps for which a static image is shown. Event frames bring their own T.
        neuron: Config of the neurons; the one on the attention's result uses a threshold of 0.5.
        tokenizer: Where the tokenizer's max-pools sit: ``'cml'`` before the neuron, or the published network's own
            place after it, see :class:`bkdsnn.models.layers.SpikingTokenizer`.
        in_channels: Channels of the input.
        mlp_ratio: Width of the MLP in multiples of the channels.
        qkv_bias: Whether query, key and value have biases. Of the published networks, only Spikformer's for CIFAR do.
        drop_path: Probability that a sample skips the last block's branches; it rises linearly from 0 at the first.
        norm: Config of the norm layers.
        out_indices: Blocks (from 0) whose outputs are returned; ``None`` is the last one. Later blocks are not built.
        init_cfg: As in mmengine. Defaults to PyTorch's own initialisation, as the authors'.

    Raises:
        ValueError: If an argument is out of range, or the input's size is not a multiple of the patch size.
    """

    arch_settings = {
        '8-384': dict(depth=8, channels=384, num_heads=8, patch_size=16),
        '8-512': dict(depth=8, channels=512, num_heads=8, patch_size=16),
        '8-768': dict(depth=8, channels=768, num_heads=8, patch_size=16),
        '4-256': dict(depth=4, channels=256, num_heads=16, patch_size=4),
        '2-384': dict(depth=2, channels=384, num_heads=12, patch_size=4),
        '4-384': dict(depth=4, channels=384, num_heads=12, patch_size=4),
        '2-256': dict(depth=2, channels=256, num_heads=16, patch_size=16),
    }
    # Set by subclasses: the order inside a unit, and the names of the tokenizer with the pool after the neuron.
    spike_first: bool
    emits_spikes: bool
    plain_tokenizer: str

    def __init__(self,
                 arch: Union[str, dict],
                 T: int,
                 neuron: dict,
                 tokenizer: str = 'cml',
                 in_channels: int = 3,
                 mlp_ratio: float = 4.0,
                 qkv_bias: bool = False,
                 drop_path: float = 0.0,
                 norm: dict = dict(type='BN'),
                 out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        name = type(self).__name__
        arch = parse_arch(name, arch, self.arch_settings)
        check_time_steps(name, T, neuron)
        if tokenizer not in ('cml', self.plain_tokenizer):
            raise ValueError(f"{name}: tokenizer={tokenizer!r} is unknown; choose 'cml' or {self.plain_tokenizer!r}.")
        self.out_indices = parse_out_indices(name, out_indices, arch['depth'])
        self.T = T
        parts = dict(neuron=neuron, norm=norm, spike_first=self.spike_first)
        channels = arch['channels']
        self.tokenizer = SpikingTokenizer(in_channels, channels, arch['patch_size'], cml=tokenizer == 'cml', **parts)
        rates = drop_path_rates(drop_path, arch['depth'])
        self.blocks = nn.ModuleList(
            SpikingTransformerBlock(SpikingSelfAttention(channels, arch['num_heads'], qkv_bias=qkv_bias, **parts),
                                    SpikingMLP(channels, mlp_ratio, **parts), rate)
            for rate in rates[:max(self.out_indices) + 1])
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Static images (B, C, H, W), or event frames (T, B, C, H, W). Height and width may differ.

        Returns:
            One (T, B, channels, H / patch_size, W / patch_size) per entry of ``out_indices``. For static images the
            tokenizer's first convolution and norm run once.
        """
        x = self.tokenizer(x, self.T)
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
