"""Linear head over spiking features."""
from typing import List, Tuple, Union

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor

from bkdsnn.registry import MODELS


@MODELS.register_module()
class SpikingLinearHead(LinearClsHead):
    """Pool over space, classify every time step, average the logits over time.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the backbone's last output.
        loss: Config of the classification loss on the mean logits.
        **kwargs: ``topk``, ``cal_acc``, ``init_cfg`` of :class:`mmpretrain.models.heads.LinearClsHead`.
    """

    def __init__(self,
                 num_classes: int,
                 in_channels: int,
                 loss: dict = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
                 init_cfg: Union[dict, List[dict], None] = None,
                 **kwargs) -> None:
        loss = MODELS.build(loss) if isinstance(loss, dict) else loss
        super().__init__(num_classes, in_channels, loss=loss, init_cfg=init_cfg, **kwargs)

    def pre_logits(self, feats: Tuple[Tensor, ...]) -> Tensor:
        """Space mean (T, B, C) of the last feature map (T, B, C, H, W)."""
        return feats[-1].mean((-2, -1))

    def _get_loss(self, cls_score: Tensor, data_samples: list, **kwargs) -> dict:
        losses = super()._get_loss(cls_score.mean(0), data_samples, **kwargs)
        losses['loss_cls'] = losses.pop('loss')
        return losses

    def _get_predictions(self, cls_score: Tensor, data_samples: list) -> list:
        return super()._get_predictions(cls_score.mean(0), data_samples)
