"""mmpretrain's image classifier with a time axis."""
from typing import Dict, Optional, Tuple, Union

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor

from bkdsnn.registry import MODELS

from ..layers import channels_last as to_channels_last
from ..layers import checkpoint_blocks_in, skip_zeros_in
from ..layers.compress import compress_spikes_in
from ..time_chunks import TimeChunks
from ..unfolding import set_spike_driven, unfoldings_of


@MODELS.register_module()
class SpikingClassifier(ImageClassifier):
    """Classifier of static images or event frames with a spiking backbone.

    Data preprocessor, batch augmentations (mixup, cutmix), losses and predictions are those of
    :class:`mmpretrain.models.ImageClassifier`; features and logits have time as the outermost axis.

    Args:
        backbone: Config of the spiking backbone, which returns (T, B, C, H, W) maps. With ``dict(type='ReLU')`` for
            neurons, there and in the head, it is an ANN of the same shape.
        head: Config of the head, which returns logits (T, B, K).
        neck: Config of a module between them.
        train_cfg: Batch augmentations, as in mmpretrain.
        data_preprocessor: As in mmpretrain; its type defaults to :class:`bkdsnn.models.ImageDataPreprocessor`.
        with_cp: Drop what the blocks of the backbone hold and compute it again in the backward pass, which is exact:
            less memory for one more forward pass of the blocks; see :class:`bkdsnn.models.layers.Block`.
        time_chunk: Train the backbone on so many time steps after the other, which divide T: memory of these alone, and
            the gradient through all, for one more forward pass; batch norms take statistics of a chunk. See
            :class:`bkdsnn.models.TimeChunks`.
        compress_spikes: Keep the spikes that backward needs as bytes, which is exact: less memory for little time.
        channels_last: Keep maps with their channels innermost in memory, which convolutions like better. Shapes stay
            the same; sums run in another order, so that in fp32 a membrane next to the threshold may spike or not.
        sparse_convs: On CPUs, have convolutions skip the zeros of their input
            (:class:`~bkdsnn.models.layers.SpikeConv2d`). Sums run in another order then, too.
        spike_driven: In eval mode, have neurons that emit integers emit as many binary spikes in D steps, see
            :func:`bkdsnn.models.spike_driven`; the logits stay the same but for the order of sums.
        random_T: Lowest and highest number of time steps, such as ``(1, 4)``, between which one is drawn for each batch
            in training, so that the network learns to answer after any of them. An image is shown so often; of event
            frames, the first so many are taken. In eval mode there are as many as without it.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If the head takes other channels than the backbone gives, where that says so by ``out_channels``; if
            ``spike_driven`` is asked for and the network cannot be unfolded; or if ``random_T`` is no range of numbers
            of steps, or of more than there are frames, or the weights of neurons are tied to one.
    """

    spike_driven = False
    has_time = True  # see has_time_axis

    def __init__(self,
                 backbone: dict,
                 head: Optional[dict] = None,
                 neck: Optional[dict] = None,
                 train_cfg: Optional[dict] = None,
                 data_preprocessor: Optional[dict] = None,
                 with_cp: bool = False,
                 time_chunk: Optional[int] = None,
                 compress_spikes: bool = False,
                 channels_last: bool = False,
                 sparse_convs: bool = False,
                 spike_driven: bool = False,
                 random_T: Optional[Tuple[int, int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        # Built here, since the parent would look the names up in mmpretrain's registry.
        backbone, neck, head = (MODELS.build(cfg) if isinstance(cfg, dict) else cfg for cfg in (backbone, neck, head))
        given, made = getattr(head, 'in_channels', None), getattr(backbone, 'out_channels', None)
        if neck is None and None not in (given, made) and given != made:
            raise ValueError(
                f'SpikingClassifier: head.in_channels={given}, but the backbone ({type(backbone).__name__}) ends with '
                f'{made} channels. Set head.in_channels={made}, or change backbone.arch.')
        if data_preprocessor is None or isinstance(data_preprocessor, dict):
            defaults = dict(type='ImageDataPreprocessor', batch_augments=train_cfg)
            data_preprocessor = MODELS.build({**defaults, **(data_preprocessor or {})})
        super().__init__(backbone, neck, head, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if with_cp:
            checkpoint_blocks_in(backbone)
        if compress_spikes:
            compress_spikes_in(self)
        if sparse_convs:
            skip_zeros_in(self)
        if spike_driven:
            unfoldings_of(self)  # or the error that says why not
        self.spike_driven = spike_driven
        self.time_chunks = None if time_chunk is None else TimeChunks(self.backbone, time_chunk)
        self.random_T, self._T = random_T, getattr(self.backbone, 'T', None)
        if random_T is not None:
            self._check_random_T()

    def _check_random_T(self) -> None:
        what = f'random_T={self.random_T}'
        if self.time_chunks is not None:
            raise ValueError(f'{what}, but time_chunk={self.time_chunks.steps} must divide the number of time steps; '
                             'set one of the two to None.')
        if not (isinstance(self.random_T, (list, tuple)) and len(self.random_T) == 2
                and all(isinstance(T, int) for T in self.random_T) and 1 <= self.random_T[0] <= self.random_T[1]):
            raise ValueError(f'{what} must be the lowest and the highest number of time steps, as in (1, 4).')
        tied = next((module for module in self.modules() if getattr(module, 'time_steps', None)), None)
        if tied is not None:
            raise ValueError(f'{what}, but {type(tied).__name__} has weights for T={tied.time_steps} time steps alone; '
                             'take another neuron, or drop random_T.')

    def train(self, mode: bool = True) -> 'SpikingClassifier':
        """Switch between training and inference, where spikes may be unfolded."""
        if self.spike_driven:
            set_spike_driven(self, not mode)
        if self._T is not None:
            self.backbone.T = self._T
        return super().train(mode)

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``; a seed gives the same weights in either order of memory."""
        if not self.channels_last:
            super().init_weights()
            return
        # Random numbers fill a tensor in the order of memory.
        self.to(memory_format=torch.contiguous_format)
        super().init_weights()
        self.to(memory_format=torch.channels_last)

    def extract_feat(self, inputs: Union[Tensor, Dict[str, Tensor]], stage: str = 'neck'):
        """Features of static images (B, C, H, W) or event frames (B, T, P, H, W); see the parent for ``stage``.

        Of a dict of views, the ``student`` entry is taken, so that a plain student runs on a distiller's data.
        """
        if isinstance(inputs, dict):
            inputs = inputs['student']
        inputs = inputs.transpose(0, 1) if inputs.dim() == 5 else inputs
        if self.training and self.random_T is not None:
            inputs = self._draw_time_steps(inputs)
        inputs = to_channels_last(inputs) if self.channels_last else inputs
        if self.time_chunks is None or not (self.training and torch.is_grad_enabled()):
            return super().extract_feat(inputs, stage)
        x = self.time_chunks(inputs)
        if stage == 'backbone':
            return x
        x = self.neck(x) if self.with_neck else x
        return x if stage == 'neck' else self.head.pre_logits(x)

    def _draw_time_steps(self, inputs: Tensor) -> Tensor:
        """Images (B, C, H, W) that will be shown a random number of times, or as many frames of (T, B, P, H, W).

        It is drawn from the generator of the CPU, which all processes share.
        """
        lowest, highest = self.random_T
        T = int(torch.randint(lowest, highest + 1, ()))
        if inputs.dim() == 5:
            if highest > len(inputs):
                raise ValueError(f'random_T={self.random_T}, but the samples have {len(inputs)} frames; lower it '
                                 '(model.random_T, model.student.random_T).')
            return inputs[:T]
        self.backbone.T = T  # not only for now: backward may run a checkpointed backbone again
        return inputs
