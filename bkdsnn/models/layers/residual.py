"""Residual blocks on currents, of any branches."""
import torch
from torch import Tensor, nn

from .attention import DropPath
from .block import Block


class ResidualBlock(Block):
    """Branches one after the other, each added to what it reads.

    Args:
        drop_path: Probability that a sample skips each branch.
        **branches: Modules from (T, B, C, H, W) to the same shape, by the names that they get here.
    """

    def __init__(self, drop_path: float = 0.0, **branches: nn.Module) -> None:
        super().__init__()
        self.names, self.drop_path = list(branches), DropPath(drop_path)
        for name, branch in branches.items():
            self.add_module(name, branch)

    def run(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        for name in self.names:
            x = x + self.drop_path(getattr(self, name)(x))
        return x


class LayerScale(nn.Module):
    """A learned factor for each channel (Touvron et al., CaiT, ICCV 2021).

    Args:
        channels: Of the input.
        init: Where the factors start.
    """

    def __init__(self, channels: int, init: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels, ), init))

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C, H, W) to the same shape."""
        return x * self.weight.view(-1, 1, 1)
