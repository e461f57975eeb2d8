"""Linear head with a second classifier that learns from a teacher."""
from typing import Tuple

from torch import Tensor, nn

from bkdsnn.registry import MODELS

from .spiking_linear_head import SpikingLinearHead


@MODELS.register_module()
class SpikingDistillationHead(SpikingLinearHead):
    """DeiT's distillation token, as the large E-SpikeFormers have it: a second classifier for the teacher's logits.

    The first one reads the space mean of the currents, the second one, ``distilled``, the spikes that the ``neuron``
    makes of it. In training the logits are those of the first, and a loss on ``head.distilled`` trains the second, see
    :class:`bkdsnn.models.HardLogitsKDLoss`; without such a loss, training is refused. In eval mode they are the mean
    of both.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the backbone's last output.
        neuron: Config of the neuron.
        **kwargs: As :class:`SpikingLinearHead`.
    """

    # Parts that nothing but a loss on them trains.
    taught = ('distilled', )

    def __init__(self, num_classes: int, in_channels: int, neuron: dict, **kwargs) -> None:
        super().__init__(num_classes, in_channels, neuron=neuron, **kwargs)
        self.distilled = nn.Linear(in_channels, num_classes)

    def forward(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """Logits (T, B, K) of the last feature map (T, B, C, H, W)."""
        currents = feats[-1].mean((-2, -1))
        own, distilled = self.fc(currents), self.classify(self.distilled, self.neuron(currents))
        return own if self.training else (own + distilled) / 2
