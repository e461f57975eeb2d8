"""The student as a device runs it: with the arithmetic of its preprocessing, and without surrogates."""
import copy
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.data_preprocessor import ClsDataPreprocessor, EventDataPreprocessor, ImageDataPreprocessor
from ..models.neurons import BaseNode, SpikingNode
from ..models.unfolding import has_integers, set_spike_driven


class InferenceNode(nn.Module):
    """A neuron as its equations alone, from rest over all time steps: the same spikes from half the operations.

    Args:
        node: The neuron; its charge, threshold and reset are used.
    """

    def __init__(self, node: BaseNode) -> None:
        super().__init__()
        self.node = node

    def forward(self, x: Tensor) -> Tensor:
        """Input current (T, B, ...) to spikes (T, B, ...)."""
        v, spikes = self.node.rest(x[0]), []
        for t, x_t in enumerate(x):
            h = self.node.charge(x_t.to(v.dtype), v)
            fires = self.fires(h, t)
            v = torch.where(fires, h - self.node.v_threshold if self.node.v_reset is None else self.node.v_reset, h)
            spikes.append(fires.to(x.dtype))
        return torch.stack(spikes)

    def fires(self, h: Tensor, t: int) -> Tensor:
        """Where the charged membrane ``h`` (B, ...) of step ``t`` spikes."""
        return h > self.node.v_threshold if self.node.strict else h >= self.node.v_threshold


def can_deploy(preprocessor: nn.Module) -> bool:
    """Whether what a data preprocessor does can be put into an exported network."""
    return type(preprocessor) in (ClsDataPreprocessor, ImageDataPreprocessor, EventDataPreprocessor)


class Preprocessing(nn.Module):
    """What a data preprocessor does to the numbers of a batch that has its final size.

    Args:
        preprocessor: mmpretrain's for images, or :class:`bkdsnn.models.EventDataPreprocessor`.

    Raises:
        ValueError: If it is of another type.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        if not can_deploy(preprocessor):
            raise ValueError(f'the preprocessing of a {type(preprocessor).__name__} cannot be put into the exported '
                             'network; export it without (normalise=False, --no-normalise).')
        for name in ('mean', 'std'):
            value = getattr(preprocessor, name, None)
            self.register_buffer(name, None if value is None else value.clone())
        self.size = getattr(preprocessor, 'size', None)
        self.divisor = getattr(preprocessor, 'pad_size_divisor', 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) or frames (B, T, P, H, W) to the network's input.

        Raises:
            ValueError: If the preprocessor would pad the size.
        """
        if x.shape[-2] % self.divisor or x.shape[-1] % self.divisor:
            raise ValueError(f'images of {x.shape[-2]}x{x.shape[-1]} would be padded to multiples of '
                             f'pad_size_divisor={self.divisor}; export the network for such a size (--shape).')
        if self.mean is not None:
            x = x - self.mean
        if self.std is not None:
            x = x / self.std
        if self.size is not None and x.shape[-2:] != self.size:
            pooled = F.adaptive_avg_pool2d(x.flatten(0, 1), self.size)
            x = pooled.unflatten(0, x.shape[:2])
        return x


class Deployed(nn.Module):
    """A copy of a spiking classifier for inference on the CPU, which leaves the classifier as it is.

    Args:
        model: A :class:`bkdsnn.models.SpikingClassifier`.
        normalise: Put the preprocessor's mean, standard deviation and averaging of frames before it.

    Raises:
        ValueError: If the classifier has integer neurons that cannot be unfolded.

    Attributes:
        neurons: Paths of the neurons in the classifier.
    """

    def __init__(self, model: nn.Module, normalise: bool = True) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(model.data_preprocessor) if normalise else nn.Identity()
        self.model = copy.deepcopy(model)
        if has_integers(model):  # unfolded into the binary spikes that a device sends
            set_spike_driven(self.model, True)
            self.model.spike_driven = True  # also after eval()
        nodes = {path: module for path, module in self.model.named_modules() if isinstance(module, SpikingNode)}
        for path, node in nodes.items():
            # A neuron with steps of its own stays as it is.
            if type(node).step is BaseNode.step and type(node).forward is BaseNode.forward:
                self.model.set_submodule(path, InferenceNode(node))
        self.neurons = list(nodes)
        self.to('cpu', memory_format=torch.contiguous_format).eval().requires_grad_(False)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits of each time step (T, B, K) of images (B, C, H, W) or frames (B, T, P, H, W).

        Raises:
            ValueError: If the network has no time steps.
        """
        logits = self.model(self.preprocessing(inputs))
        if not isinstance(logits, Tensor) or logits.dim() != 3:
            raise ValueError(f'{type(self.model).__name__} gives no logits (T, B, K); export a spiking student.')
        return logits

    def forward(self, inputs: Tensor) -> Tuple[Tensor, Tensor]:
        """Class probabilities (B, K) after all time steps, and the logits of each (T, B, K)."""
        logits = self.logits(inputs)
        return logits.mean(0).softmax(-1), logits
