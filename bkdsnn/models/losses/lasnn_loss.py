"""Layer-wise distillation of attention maps (LaSNN, Hong et al., 2023, arXiv 2304.09101)."""
from typing import List, Union

from torch import Tensor

from bkdsnn.registry import MODELS

from .base import DistillLoss
from .maps import attention_maps, feature_distance
from .stages import stage_maps


@MODELS.register_module()
class LaSNNLoss(DistillLoss):
    r"""At several stages, the student shall be active where the teacher is, beside the task loss and logits' KD.

    .. math:: \sum_l \tfrac1B\,\Big\lVert\frac{Q(\bar f_l)}{\lVert Q(\bar f_l)\rVert} -
              \frac{Q(f^A_l)}{\lVert Q(f^A_l)\rVert}\Big\rVert^2, \quad Q(f) = \mathrm{mean}_c f^2

    with the norm of each sample by itself; a silent stage has the map 0. Maps of other sizes are pooled to the smaller
    one. No code of the authors' is public; the weight is ours.

    Args:
        student: Tap or paths of the student's stages, maps (T, B, C, H, W).
        teacher: Tap or paths of as many stages of the teacher, maps or a ViT's tokens.
        loss_weight: Factor, or a schedule.
    """

    default_tap = 'stages'

    def __init__(self, student: Union[str, List[str]] = 'stages', teacher: Union[str, List[str]] = 'stages',
                 loss_weight: Union[float, dict] = 1.0) -> None:
        super().__init__(student, teacher, loss_weight)

    def forward(self, student: List[Tensor], teacher: List[Tensor]) -> Tensor:
        """Weighted loss of maps (T, B, C, H, W) and the teacher's (B, C', H', W') or (B, N, C')."""
        maps = (attention_maps(*maps) for maps in stage_maps(student, teacher))
        return self.loss_weight * sum(feature_distance(own, other, 'sum') for own, other in maps)
