"""The largest central square of an image, at a fixed size."""
from dataclasses import dataclass

import mmcv
from mmcv.transforms import BaseTransform

from bkdsnn.registry import TRANSFORMS


@TRANSFORMS.register_module()
@dataclass
class CentralSquare(BaseTransform):
    """Cuts the largest square from the middle of ``img`` (H, W, C) and resizes it.

    It is what ``RandomResizedCrop`` of timm and mmpretrain falls back to where its area and its ratio can only be 1.0,
    but draws nothing, so a cache may keep its result.

    Args:
        scale: Height and width of the result.
        interpolation: As in :func:`mmcv.imresize`.
        backend: ``'cv2'`` or ``'pillow'``.
    """

    scale: int
    interpolation: str = 'bilinear'
    backend: str = 'cv2'
    random = False

    def transform(self, results: dict) -> dict:
        """Change ``img`` and ``img_shape``."""
        image = results['img']
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = mmcv.imresize(image[top:top + side, left:left + side], (self.scale, self.scale),
                              interpolation=self.interpolation, backend=self.backend)
        return dict(results, img=image, img_shape=image.shape[:2])
