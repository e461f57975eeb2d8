"""Linear head over spiking features."""
from typing import List, Optional, Tuple, Union

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from bkdsnn.registry import MODELS

from ..layers import Unfolding, full_precision, time_mean


@MODELS.register_module()
class SpikingLinearHead(LinearClsHead):
    """Pool over space, classify every time step, average the logits over time.

    Predictions are those of the mean; ``step_logits`` (T, K) of a predicted sample holds those of each step.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the backbone's last output.
        loss: Config of the classification loss on the mean logits.
        neuron: Config of a neuron between the space mean and the classifier, as in Meta-SpikeFormer; ``None`` has none.
        **kwargs: ``topk``, ``cal_acc``, ``init_cfg`` of :class:`mmpretrain.models.heads.LinearClsHead`.
    """

    def __init__(self,
                 num_classes: int,
                 in_channels: int,
                 loss: dict = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
                 neuron: Optional[dict] = None,
                 init_cfg: Union[dict, List[dict], None] = None,
                 **kwargs) -> None:
        loss = MODELS.build(loss) if isinstance(loss, dict) else loss
        super().__init__(num_classes, in_channels, loss=loss, init_cfg=init_cfg, **kwargs)
        self.neuron = nn.Identity() if neuron is None else MODELS.build(neuron)
        self.unfolding: Optional[Unfolding] = None

    def pre_logits(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """Space mean (T, B, C) of the last feature map (T, B, C, H, W), or its spikes."""
        return self.neuron(feats[-1].mean((-2, -1)))

    def forward(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """Logits (T, B, K) of the last feature map (T, B, C, H, W)."""
        return self.classify(self.fc, self.pre_logits(feats))

    def classify(self, fc: nn.Module, x: Tensor) -> Tensor:
        """Logits (T, B, K) by a linear layer of what it reads (T, B, C), or of its unfolded spikes (T * D, B, C)."""
        return fc(x) if self.unfolding is None else self.unfolding.read(fc, x)

    def _get_loss(self, cls_score: Tensor, data_samples: list, **kwargs) -> dict:
        losses = super()._get_loss(time_mean(cls_score, has_time=True), data_samples, **kwargs)
        losses['loss_cls'] = losses.pop('loss')
        return losses

    def _get_predictions(self, cls_score: Tensor, data_samples: list) -> list:
        data_samples = super()._get_predictions(time_mean(cls_score, has_time=True), data_samples)
        for sample, logits in zip(data_samples, full_precision(cls_score.detach()).unbind(1)):
            sample.set_field(logits, 'step_logits')
        return data_samples
