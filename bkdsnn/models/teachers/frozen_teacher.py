"""The frozen network that the student learns from."""
from typing import Callable, Optional, Sequence, Union

import torch
from mmengine.device import get_device
from torch import Tensor, nn
from torch.nn import functional as F

from bkdsnn.registry import MODELS
from bkdsnn.utils.colours import gives_rgb
from bkdsnn.utils.processor import cpu_computes_in_bfloat16, emulation_refused

from ..layers import channels_last as to_channels_last
from ..layers import full_precision, has_time_axis, time_mean
from ..neurons.kernels import name_vector_length, why_not
from .sources import build_teacher

INTERPOLATIONS = ('bicubic', 'bilinear', 'nearest')
DTYPES = ('float32', 'bfloat16', 'float16')


@MODELS.register_module()
class FrozenTeacher(nn.Module):
    """A network in eval mode, without gradients, that takes the student's input and prepares it for itself.

    The student's normalisation is undone and the teacher's own applied, in one affine step; then the image is resized
    where the teacher needs another size. Copying a model that holds a teacher (as EMA does) shares the teacher, which
    goes to the device of its input.

    Event frames (B, T, P, H, W) go to a spiking teacher as they are, with its own T. An ANN is used in one of two ways:
    as a :class:`bkdsnn.models.SpikingClassifier` whose neurons are ``dict(type='ReLU')``, which sees each frame by
    itself and averages its logits over them (the authors' ANN teacher); or as an image network with T * P input
    channels, for which :class:`bkdsnn.datasets.transforms.PackEvents` packs ``as_image=['teacher']``.

    Args:
        model: What network, see :func:`bkdsnn.models.teachers.sources.build_teacher`. It may be spiking.
        checkpoint: Its weights: file, URL, work directory, or ``'pretrained'`` for a model zoo's own.
        mean: Per-channel mean of its input on the scale 0 to 255. Defaults to what the model's source says, else the
            student's.
        std: Standard deviation, likewise.
        to_rgb: Whether it wants RGB. Defaults likewise.
        input_size: (H, W), or one number for both, that it wants. Defaults to what the model's source says, else the
            input's own size.
        interpolation: ``'bicubic'``, ``'bilinear'`` or ``'nearest'``.
        expected_accuracy: Accuracy in percent (top-1, or what the task measures) that the teacher must reach on the
            validation data before training starts (see :class:`bkdsnn.engine.hooks.TeacherCheckHook`); ``None`` only
            reports it.
        dtype: ``'float32'``, ``'bfloat16'`` or ``'float16'``: what the network's weights are kept and computed in, also
            where the student trains in mixed precision. ``None`` follows the student, in fp32 at least.
        channels_last: Whether weights and maps have their channels innermost in memory, which convolutions like better.
        compile: Whether to compile the network with ``torch.compile``, or a dict of its arguments.
        has_time: Whether time is the first axis of the network's features. By default, as
            :func:`bkdsnn.models.layers.has_time_axis` finds: of spiking networks of this package.
        emulate: Whether to take ``dtype='bfloat16'`` on a CPU that has no instructions for it all the same, where it is
            many times slower than fp32.

    Raises:
        ValueError: If the teacher would have random weights, or an argument does not fit.
        FileNotFoundError: If the checkpoint is missing; the message names the command that trains it.
    """

    def __init__(self,
                 model: Union[str, dict, nn.Module],
                 checkpoint: Optional[str] = None,
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None,
                 to_rgb: Optional[bool] = None,
                 input_size: Union[int, Sequence[int], None] = None,
                 interpolation: Optional[str] = None,
                 expected_accuracy: Optional[float] = None,
                 dtype: Optional[str] = None,
                 channels_last: bool = False,
                 compile: Union[bool, dict] = False,
                 has_time: Optional[bool] = None,
                 emulate: bool = False) -> None:
        super().__init__()
        if expected_accuracy is not None and not 1 < expected_accuracy <= 100:
            raise ValueError(f'FrozenTeacher: expected_accuracy={expected_accuracy} must be in percent, above 1 and at '
                             'most 100 (model.teacher.expected_accuracy).')
        if interpolation not in (None, *INTERPOLATIONS):
            raise ValueError(f'FrozenTeacher: interpolation={interpolation!r} is unknown; choose one of '
                             f'{INTERPOLATIONS}.')
        if mean is not None and std is not None and len(mean) != len(std):
            raise ValueError(f'FrozenTeacher: mean={list(mean)} and std={list(std)} must have one length.')
        if dtype not in (None, *DTYPES):
            raise ValueError(f'FrozenTeacher: dtype={dtype!r} is unknown; choose one of {DTYPES}.')
        if dtype == 'bfloat16' and not emulate and get_device() == 'cpu' and not cpu_computes_in_bfloat16():
            raise emulation_refused("model.teacher.dtype='bfloat16'", 'Set it to None', 'model.teacher.emulate')
        for name, value in (('channels_last', channels_last), ('compile', compile)):
            if not isinstance(value, bool) and not (name == 'compile' and isinstance(value, dict)):
                raise ValueError(f'FrozenTeacher: {name}={value!r} must be True or False (model.teacher.{name}).')
        if isinstance(input_size, int):
            input_size = (input_size, input_size)
        source = build_teacher(model, checkpoint)
        self.network = source.network.requires_grad_(False)
        self.network.has_time = has_time_axis(self.network) if has_time is None else has_time
        self.own_mean = source.mean if mean is None else mean
        self.own_std = source.std if std is None else std
        self.own_rgb = source.to_rgb if to_rgb is None else to_rgb
        size = source.input_size if input_size is None else input_size
        self.input_size = None if size is None else tuple(size)
        self.interpolation = interpolation or source.interpolation or 'bicubic'
        self.expected_accuracy = expected_accuracy
        self.checkpoint, self.dataset_meta = checkpoint, source.dataset_meta
        self.flip_channels = False
        self.register_buffer('scale', None)
        self.register_buffer('shift', None)
        self.train(False)
        self._optimise(dtype, channels_last, compile)

    def _optimise(self, dtype: Optional[str], channels_last: bool, compile: Union[bool, dict]) -> None:
        self.dtype = dtype and getattr(torch, dtype)
        self.channels_last = channels_last
        self.network.to(self.dtype, memory_format=torch.channels_last if channels_last else None)
        given = next((weight.dtype for weight in self.network.parameters()), torch.float32)
        self.least_dtype = torch.promote_types(given, torch.float32)  # where there is no own one
        if channels_last and hasattr(self.network, 'channels_last'):
            self.network.channels_last = True  # a spiking one, which turns its axes first
        self.compile_options = None if compile is False else dict(compile) if isinstance(compile, dict) else {}
        if self.compiles:
            options = self.compile_options
            reason = why_not('cuda' if torch.cuda.is_available() else 'cpu')
            if reason and options.get('backend', 'inductor') == 'inductor':
                raise ValueError(f'FrozenTeacher: compile={compile!r} cannot be used: {reason}. Or drop '
                                 'model.teacher.compile.')
            name_vector_length()
            self.network.compile(**options)

    @property
    def compiles(self) -> bool:
        """Whether the network is compiled."""
        return self.compile_options is not None

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        if self.compiles:  # which PyTorch does not pickle
            self.network.compile(**self.compile_options)

    def adapt_to(self, preprocessor: nn.Module) -> None:
        """Learn the student's normalisation and order of colours from its data preprocessor, so that :meth:`forward`
        can replace them.

        Raises:
            ValueError: If the teacher's channels do not fit the student's.
        """
        mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
        student_mean = torch.zeros(1) if mean is None else mean.flatten().double().cpu()
        student_std = torch.ones(1) if std is None else std.flatten().double().cpu()
        student_rgb = gives_rgb(preprocessor)
        self.flip_channels = None not in (self.own_rgb, student_rgb) and self.own_rgb != student_rgb
        own_mean = self._own_constant(self.own_mean, student_mean)
        own_std = self._own_constant(self.own_std, student_std)
        if own_mean.numel() > 1 and student_mean.numel() > 1 and own_mean.numel() != student_mean.numel():
            raise ValueError(f'FrozenTeacher: its mean has {own_mean.numel()} channels but the student\'s '
                             f'data_preprocessor has {student_mean.numel()}. Set model.teacher.mean and .std.')
        self.scale = self.shift = None
        scale, shift = student_std / own_std, (student_mean - own_mean) / own_std
        if not (torch.allclose(scale, torch.ones_like(scale)) and torch.allclose(shift, torch.zeros_like(shift))):
            self._exact = scale.view(-1, 1, 1), shift.view(-1, 1, 1)
            self._set_constants(torch.float32, torch.device('cpu'))

    def _set_constants(self, dtype: torch.dtype, device: torch.device) -> None:
        """Round the constants of the affine step to a precision, from fp64."""
        self.scale, self.shift = (constant.to(dtype).to(device) for constant in self._exact)

    def _own_constant(self, own: Optional[Sequence[float]], student: Tensor) -> Tensor:
        if own is None:
            return student
        own = torch.tensor(own, dtype=torch.float64)
        # The input is flipped last, so the teacher's constants are brought into the student's order.
        return own.flip(0) if self.flip_channels else own

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stay in eval mode, whatever ``mode`` says."""
        return super().train(False)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'FrozenTeacher':
        """Move, but lose nothing, which would be lost for all models that share the teacher."""

        def without_loss(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.is_meta:
                return tensor
            if moved.dtype == tensor.dtype:
                return moved
            is_wider = torch.promote_types(moved.dtype, tensor.dtype) == moved.dtype
            return moved if is_wider and self.dtype is None else tensor.to(moved.device)

        super()._apply(without_loss, recurse)
        if self.scale is not None:
            self._set_constants(self.scale.dtype, self.scale.device)
        return self

    def _follow(self, images: Tensor) -> Tensor:
        """Have the network where the input is, and both in one precision: copies of a model, which share it, differ."""
        dtype = self.dtype or torch.promote_types(images.dtype, self.least_dtype)
        weight = next(self.network.parameters(), None)
        if weight is not None and (weight.dtype, weight.device) != (dtype, images.device):
            self.network.to(images.device, dtype)
        return images.to(dtype)

    def prepare(self, images: Tensor) -> Tensor:
        """The student's input (B, C, H, W) or (B, T, P, H, W) in the teacher's normalisation, order and size."""
        if self.scale is not None:
            dtype = torch.promote_types(images.dtype, torch.float32)
            if (self.scale.dtype, self.scale.device) != (dtype, images.device):
                self._set_constants(dtype, images.device)
            images = images * self.scale + self.shift
        if self.flip_channels:
            images = images.flip(-3)
        if self.input_size is not None and images.shape[-2:] != self.input_size:
            smooth = {} if self.interpolation == 'nearest' else dict(antialias=True, align_corners=False)
            frames = images.flatten(0, -4) if images.dim() == 5 else images
            frames = F.interpolate(frames, self.input_size, mode=self.interpolation, **smooth)
            images = frames.view(*images.shape[:-2], *self.input_size)
        return images

    def for_network(self, images: Tensor) -> Tensor:
        """The student's input as :attr:`network` takes it: prepared, and of its layout, precision and device."""
        images = self.prepare(images)
        return self._follow(to_channels_last(images) if self.channels_last else images)

    # Not inference_mode: a ResNet-18's forward took 7.3 ms under either, and the losses could not keep its tensors.
    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) for the student's input, or (B, ...) of another task; of a spiking teacher the time mean."""
        images = self.for_network(images)
        if self.dtype is None:
            return time_mean(self._run(images), self.network.has_time)
        with torch.autocast(images.device.type, enabled=False):
            return full_precision(time_mean(self._run(images), self.network.has_time))

    def _run(self, images: Tensor) -> Tensor:
        if not self.compiles:
            return self.network(images)
        # A recorder's hooks come and go: with the guard there is one graph with and one without them.
        with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
            return self.network(images)
