"""Student, teacher and losses in one trainable model."""
import inspect
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from bkdsnn.registry import MODELS
from bkdsnn.utils.colours import learn_channel_order

from ..layers import full_precision, mark_time
from .recorder import FeatureRecorder


@MODELS.register_module()
class Distiller(BaseModel):
    """Trains a student with its own loss and losses against a frozen teacher on the same batch.

    The teacher is no submodule: it is not in the state dict, the optimizer or DDP. Trainable parts of the losses are.
    Copies, as EMA makes one, share the teacher.

    Args:
        student: Config of the student, a classifier.
        teacher: Config of the :class:`bkdsnn.models.teachers.FrozenTeacher`.
        losses: Log key to config of a :class:`bkdsnn.models.losses.DistillLoss`. Keys must contain ``loss``, as
            mmengine sums those; ``None`` drops an entry of a base config.
        input_shape: (C, H, W) of an image or (T, P, H, W) of event frames; ``dict(student=..., teacher=...)`` where the
            two see different views. With it, all feature shapes are checked when the model is built; without it,
            channels and class counts are, and the rest on the first batch.
        data_preprocessor: The student's, where the student's config has none.
        init_cfg: As in mmengine.

    Raises:
        ValueError: If a path does not exist, features do not fit, or an argument is out of range. The message names the
            config key.
    """

    def __init__(self,
                 student: dict,
                 teacher: dict,
                 losses: Dict[str, dict],
                 input_shape: Union[Tuple[int, ...], Dict[str, Tuple[int, ...]], None] = None,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        if isinstance(student, dict):
            student = MODELS.build(with_preprocessor(student, data_preprocessor))
        elif data_preprocessor is not None:
            raise ValueError('model.data_preprocessor is given, but the student is built already and has its own.')
        super().__init__(data_preprocessor=student.data_preprocessor, init_cfg=init_cfg)
        self.student = student
        # Past nn.Module's own registration, see above.
        self.__dict__['teacher'] = MODELS.build(teacher) if isinstance(teacher, dict) else teacher
        self.teacher.adapt_to(self.data_preprocessor)
        losses = {name: cfg for name, cfg in losses.items() if cfg is not None}
        self._check_keys(losses)
        losses = {name: self._complete(name, cfg) for name, cfg in losses.items()}
        shapes = self._dry_run(losses, input_shape)
        self.losses = nn.ModuleDict({name: self._build_loss(name, cfg, shapes) for name, cfg in losses.items()})
        self._check_fit(shapes, input_shape)

    @staticmethod
    def _complete(name: str, cfg: dict) -> dict:
        """A loss's config with the paths that it leaves to the defaults of its class."""
        if 'type' not in cfg:
            raise ValueError(f'model.losses.{name}.type is missing; name the class of the loss.')
        cls = MODELS.get(cfg['type'])
        if cls is None:
            raise ValueError(f'model.losses.{name}.type={cfg["type"]!r} is not registered.')
        parameters = inspect.signature(cls).parameters
        for side in ('student', 'teacher'):
            if side not in cfg and side in parameters and parameters[side].default is not inspect.Parameter.empty:
                cfg = dict(cfg, **{side: parameters[side].default})
            if side not in cfg:
                raise ValueError(f'model.losses.{name}.{side} is missing: the path of the {side}\'s module to compare.')
        return cfg

    @staticmethod
    def _check_keys(losses: Dict[str, dict]) -> None:
        if not losses:
            raise ValueError('model.losses is empty; to train without distillation, use the student as the model.')
        for name in losses:
            if 'loss' not in name or '.' in name:
                raise ValueError(f'model.losses: rename {name!r}; a key must contain "loss", since only those are '
                                 'summed, and no dot.')
            if name in ('loss', 'loss_cls'):
                raise ValueError(f'model.losses: rename {name!r}; the total and the student\'s own loss are logged so.')

    # ---- building: what the features look like, before a batch is seen ----

    def _dry_run(self, losses: Dict[str, dict],
                 input_shape: Union[Tuple[int, ...], Dict[str, Tuple[int, ...]], None]) -> Dict[str, Dict[str, Tensor]]:
        """Features of an all-zero sample, by side and path."""
        if input_shape is None:
            first = next((m for m in self.student.modules() if isinstance(m, nn.Conv2d)), None)
            if first is None:
                raise ValueError('the student has no Conv2d that would tell the channels of its input; set '
                                 'model.input_shape=(C, H, W).')
            input_shape = (first.in_channels, 64, 64)
        shapes = views_of(input_shape)
        if set(shapes) != {'student', 'teacher'}:
            raise ValueError(f'model.input_shape={dict(shapes)} must be one shape, or one for student and teacher '
                             'each.')
        paths = {side: [cfg[side] for cfg in losses.values()] for side in ('student', 'teacher')}
        student_mode = self.student.training
        try:
            # One sample says nothing of the batches that a teacher's code is to be compiled for.
            with torch.no_grad(), torch.compiler.set_stance('force_eager'), \
                    FeatureRecorder(self.student.eval(), paths['student'], self._label('student', losses)) as student, \
                    FeatureRecorder(self.teacher.network, paths['teacher'], self._label('teacher', losses)) as teacher:
                self.student(torch.zeros(1, *shapes['student']))
                self.teacher(torch.zeros(1, *shapes['teacher']))
        finally:
            self.student.train(student_mode)
        features = dict(student=student.features, teacher=as_target(teacher.features))
        for side, recorded in features.items():
            check_batch_axis(recorded, self._label(side, losses))
        return features

    @staticmethod
    def _label(side: str, losses: Dict[str, dict]) -> str:
        return f'the {side} ({", ".join(f"model.losses.{name}.{side}" for name in losses)})'

    @staticmethod
    def _build_loss(name: str, cfg: dict, features: Dict[str, Dict[str, Tensor]]) -> nn.Module:
        cfg = dict(cfg)
        arguments = inspect.signature(MODELS.get(cfg['type'])).parameters
        for side in ('student', 'teacher'):
            if f'{side}_channels' in arguments:
                feature = features[side][cfg[side]]
                # Maps (B, C, H, W) end in (C, H, W), tokens and vectors in (C,).
                is_map = feature.dim() - feature.has_time == 4
                cfg.setdefault(f'{side}_channels', feature.shape[-3 if is_map else -1])
        try:
            return MODELS.build(cfg)
        except (TypeError, ValueError) as error:
            raise type(error)(f'model.losses.{name}: {error}') from error

    def _check_fit(self, features: Dict[str, Dict[str, Tensor]], input_shape: Union[tuple, dict, None]) -> None:
        for name, loss in self.losses.items():
            student, teacher = features['student'][loss.student], features['teacher'][loss.teacher]
            if input_shape is None and student.dim() - student.has_time > 2:
                continue  # at a guessed input size, spatial sizes say nothing
            training = loss.training
            try:
                with torch.no_grad():
                    loss.eval()(student, teacher, target=torch.zeros(1, dtype=torch.long))
            except ValueError as error:
                raise ValueError(f'model.losses.{name}: {error}') from error
            finally:
                loss.train(training)

    # ---- running ----

    def learn_channel_order(self, dataset: Any, scope: Optional[str] = None) -> None:
        """Tell the teacher the order of colours that a data set gives, see :func:`bkdsnn.utils.colours`."""
        learn_channel_order(self.data_preprocessor, dataset, scope)
        self.teacher.adapt_to(self.data_preprocessor)

    @property
    def student_recorder(self) -> FeatureRecorder:
        """A new recorder of what the losses ask of the student."""
        return FeatureRecorder(self.student, [loss.student for loss in self.losses.values()], 'the student',
                               needs_grad=True)

    @property
    def teacher_recorder(self) -> FeatureRecorder:
        """A new recorder of what the losses ask of the teacher."""
        return FeatureRecorder(self.teacher.network, [loss.teacher for loss in self.losses.values()], 'the teacher')

    def teach(self, inputs: Tensor) -> Dict[str, Tensor]:
        """What the losses ask of the teacher for its view of a batch, by path; in fp32 at least."""
        with self.teacher_recorder as recorder:
            self.teacher(inputs)
        return as_target(recorder.features)

    def _apply(self, fn, recurse: bool = True) -> 'Distiller':
        self.teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self,
                inputs: Union[Tensor, Dict[str, Tensor]],
                data_samples: Optional[List[DataSample]] = None,
                mode: str = 'tensor'):
        """As the student's, but for ``mode='loss'``, which adds the distillation losses.

        Args:
            inputs: Batch of images (B, C, H, W) or event frames (B, T, P, H, W); or a dict with ``student`` and
                ``teacher`` entries where the two see different framings of the same samples.
            data_samples: Labels of the batch.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
        """
        views = views_of(inputs)
        if mode != 'loss':
            return self.student(views['student'], data_samples, mode)
        with self.student_recorder as recorder:
            losses = self.student(views['student'], data_samples, 'loss')
        student, teacher = recorder.features, self.teach(views['teacher'])
        target = targets_of(data_samples)
        for name, loss in self.losses.items():
            losses[name] = loss(student[loss.student], teacher[loss.teacher], target=target)
        return losses


def check_batch_axis(features: Dict[str, Tensor], owner: str) -> None:
    """Raise ValueError where features of one sample that have time are not (T, 1, ...)."""
    for path, feature in features.items():
        if feature.has_time and feature.shape[1:2] != (1, ):
            raise ValueError(f'{owner}: what the module at {path!r} gives for one sample has the shape '
                             f'{tuple(feature.shape)}, not (T, 1, ...): inside a unit, time is part of the batch. '
                             'Record the unit, or another module around it.')


def as_target(features: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """A teacher's features in fp32 at least; they still know whether they have time."""
    return {path: mark_time(full_precision(feature), feature.has_time) for path, feature in features.items()}


def views_of(inputs) -> dict:
    """What student and teacher see: two views where ``inputs`` is a dict, else the same."""
    return inputs if isinstance(inputs, dict) else dict(student=inputs, teacher=inputs)


def with_preprocessor(student: dict, data_preprocessor: Optional[dict]) -> dict:
    """A copy of the student's config with the data preprocessor that stands above it.

    Raises:
        ValueError: If both are given and differ.
    """
    own = student.get('data_preprocessor')
    if own is not None and data_preprocessor is not None and dict(own) != dict(data_preprocessor):
        raise ValueError(f'two data preprocessors are given and differ: model.student.data_preprocessor={dict(own)} '
                         f'and model.data_preprocessor={dict(data_preprocessor)} (or the config\'s own). Drop one.')
    chosen = data_preprocessor if own is None else own
    student = {key: value for key, value in student.items() if key != 'data_preprocessor'}
    # Without the key, mmengine's runner fills in the config's own; with None it would not.
    return student if chosen is None else dict(student, data_preprocessor=chosen)


def targets_of(data_samples: List[DataSample]) -> Tensor:
    """Soft labels (B, K) where a batch augmentation made them, else labels (B,)."""
    if 'gt_score' in data_samples[0]:
        return torch.stack([sample.gt_score for sample in data_samples])
    return torch.cat([sample.gt_label for sample in data_samples])
