"""The last step of an event pipeline."""
from typing import Sequence, Union

import torch
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample
from torch import Tensor

from bkdsnn.registry import TRANSFORMS

from .views import VIEWS


@TRANSFORMS.register_module()
class PackEvents(BaseTransform):
    """Packs ``frames`` into ``inputs``, a tensor (T, P, H, W) or a dict of views, and labels into ``data_samples``.

    Args:
        as_image: Views whose time steps become channels, (T * P, H, W), for image networks with that many input
            channels; ``True`` for all, such as the single view that an image network is trained on.
        meta_keys: What else of the sample is kept.

    Raises:
        ValueError: If a view is unknown.
    """

    def __init__(self,
                 as_image: Union[bool, Sequence[str]] = False,
                 meta_keys: Sequence[str] = ('sample_idx', 'path', 'flip')) -> None:
        if not isinstance(as_image, bool) and not set(as_image) <= set(VIEWS):
            raise ValueError(f'PackEvents: as_image={as_image!r} must be True, False or views out of {list(VIEWS)}.')
        self.as_image = as_image
        self.meta_keys = meta_keys

    def transform(self, results: dict) -> dict:
        """Keep ``inputs`` and ``data_samples`` alone."""
        frames = results['frames']
        if isinstance(frames, dict):
            flat = frames if self.as_image is True else self.as_image or ()
            inputs = {view: self._tensor(f, view in flat) for view, f in frames.items()}
        else:
            inputs = self._tensor(frames, self.as_image is True)
        sample = DataSample()
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        for key in self.meta_keys:
            if key in results:
                sample.set_field(results[key], key, field_type='metainfo')
        return dict(inputs=inputs, data_samples=sample)

    @staticmethod
    def _tensor(frames, as_image: bool) -> Tensor:
        frames = torch.from_numpy(frames)
        return frames.flatten(0, 1) if as_image else frames

    def __repr__(self) -> str:
        return f'{type(self).__name__}(as_image={self.as_image}, meta_keys={self.meta_keys})'
