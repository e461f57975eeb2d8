"""Student, teacher and losses in one trainable model."""
import logging
from os.path import commonprefix
from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from bkdsnn.config.networks import with_preprocessor
from bkdsnn.registry import MODELS
from bkdsnn.utils.colours import learn_channel_order
from bkdsnn.utils.shape_errors import misfit

from ..layers import full_precision, mark_time
from ..losses.task_loss import TASK_LOSS, split_task_loss
from ..neurons.kernels import compiling_nothing
from ..tasks import Task
from ..teachers.identity import identity_of
from ..teachers.lazy import LazyTeacher
from .recorder import FeatureRecorder, find_module
from .requests import Request, apply, resolve, with_default_taps

Features = Dict[str, Tensor]


@MODELS.register_module()
class Distiller(BaseModel):
    """Trains a student with its own loss and others, most of them against a frozen teacher on the same batch.

    The teacher is no submodule: it is not in the state dict, the optimizer or DDP. Trainable parts of the losses are.
    Copies, as EMA makes one, share the teacher. Nothing is recorded that no loss asks for.

    Args:
        student: Config of the student, a classifier.
        teacher: Config of a :class:`bkdsnn.models.teachers.FrozenTeacher`, or of a
            :class:`bkdsnn.models.teachers.TeacherEnsemble`; ``None`` where no loss asks for one.
        losses: Log key to config of a :class:`bkdsnn.models.losses.DistillLoss`. Keys must contain ``loss``, as
            mmengine sums those; ``None`` drops an entry of a base config. ``loss_cls`` is the student's own loss:
            with a ``type`` it is replaced, with ``loss_weight`` alone it is weighted, with ``None`` it is dropped.
        input_shape: (C, H, W) of an image or (T, P, H, W) of event frames; ``dict(student=..., teacher=...)`` where the
            two see different views. With it, all feature shapes are checked when the model is built; without it,
            channels and class counts are, and the rest on the first batch.
        data_preprocessor: The student's, where the student's config has none.
        init_cfg: As in mmengine.
        taps: ``dict(student=dict(feature='backbone.layer4', ...), teacher=dict(feature='layer4', logits='fc', ...))``:
            names for module paths, or for lists of them, that losses ask for. A student has ``logits`` (its ``head``)
            and ``feature`` (the last map of its ``backbone``), a teacher ``logits`` (``head``), unless it says
            otherwise.
        task: Config of the :class:`bkdsnn.models.tasks.Task` that the student's head is made for.
        teacher_cache: Arguments of a :class:`bkdsnn.models.teachers.cache.TeacherCache`, which keeps what the losses
            ask of the teacher; a training then needs ``EpochSeedHook(augmentation_epochs=K)``. Once it is complete, the
            teacher is built only for what else asks for it.

    Raises:
        ValueError: If a tap or path does not exist, features do not fit, the task does not fit the student, a loss
            needs what there is not, or an argument is out of range. The message names the config key.
    """

    def __init__(self,
                 student: dict,
                 teacher: Optional[dict] = None,
                 losses: Optional[Dict[str, Optional[dict]]] = None,
                 input_shape: Union[Tuple[int, ...], Dict[str, Tuple[int, ...]], None] = None,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 taps: Optional[Dict[str, Dict[str, Union[str, List[str]]]]] = None,
                 task: dict = dict(type='ClassificationTask'),
                 teacher_cache: Optional[dict] = None) -> None:
        if isinstance(student, dict):
            student = MODELS.build(with_preprocessor(student, data_preprocessor))
        elif data_preprocessor is not None:
            raise ValueError('model.data_preprocessor is given, but the student is built already and has its own.')
        super().__init__(data_preprocessor=student.data_preprocessor, init_cfg=init_cfg)
        self.student, self.task = student, MODELS.build(task) if isinstance(task, dict) else task
        if not isinstance(self.task, Task):
            raise ValueError(f'model.task: {type(self.task).__name__} is no Task; see bkdsnn.models.tasks.')
        self.task_loss, losses = split_task_loss(losses or {})
        self.taps = with_default_taps(taps or {})
        self.requests = {name: Request.of(name, cfg, self.taps) for name, cfg in losses.items()}
        self.teacher_cache = teacher_cache and MODELS.build({'type': 'TeacherCache', **teacher_cache})
        # No module, see above.
        self._teacher = self._prepare_teacher(teacher, input_shape)
        self._check_requests()
        self._check_taught()
        features, sample = self._dry_run(input_shape)
        self.losses = nn.ModuleDict({name: request.build(features) for name, request in self.requests.items()})
        self._check_fit(features, sample, input_shape)

    # ---- building: what the features look like, before a batch is seen ----

    def _prepare_teacher(self, teacher: Union[dict, nn.Module, None],
                         input_shape: Union[Tuple[int, ...], Dict[str, Tuple[int, ...]], None]
                         ) -> Optional[LazyTeacher]:
        asking = {f'model.losses.{name}': request for name, request in self.requests.items()
                  if {'teacher', 'teacher_part'} & set(request.needs)}
        if teacher is None:
            if asking:
                raise ValueError(f'{next(iter(asking))} learns from a teacher, but model.teacher is missing.')
            if self.teacher_cache is not None:
                raise ValueError('model.teacher_cache keeps what a teacher says, but model.teacher is missing.')
            return None
        if not asking:
            print_log('No loss asks for model.teacher, so it is not built and not run.', logger='current',
                      level=logging.WARNING)
            self.teacher_cache = None
            return None
        prepared, cache = LazyTeacher(teacher, self.data_preprocessor), self.teacher_cache
        if cache is None:
            prepared.build()
        elif input_shape is None:
            raise ValueError('model.teacher_cache has files of fixed sizes, which follow from model.input_shape; set '
                             'it to (C, H, W), or to (T, P, H, W) of events.')
        elif not cache.stands_in(dict(identity_of(teacher), input_shape=list(views_of(input_shape)['teacher'])),
                                 self._paths('teacher'), self._logits()):
            prepared.build()
            cache.note_random_state()
        return prepared

    def _logits(self) -> List[str]:
        """Paths of the teacher's logits."""
        paths: List[str] = []
        apply(resolve('logits', self.taps['teacher'], 'model.taps.teacher.logits'), paths.append)
        return paths

    @property
    def teacher(self) -> Optional[nn.Module]:
        """The teacher; where a cache has stood in for it so far, it is built now."""
        return None if self._teacher is None else self._teacher.get()

    @property
    def has_teacher(self) -> bool:
        """Whether some loss learns from a teacher."""
        return self._teacher is not None

    @property
    def expected_accuracy(self) -> Optional[float]:
        """What the teacher must reach on the validation data, in percent, as its config says."""
        return self._teacher.expected_accuracy

    @property
    def teacher_is_built(self) -> bool:
        """Whether there is a teacher, and a cache does not stand in for it."""
        return self._teacher is not None and self._teacher.is_built

    def _check_requests(self) -> None:
        soft = self.task.why_targets_are_soft(self.student)
        for name, request in self.requests.items():
            request.check_paths('student', self.student, self.taps['student'])
            if self.teacher_is_built or request.teacher_part is not None:
                request.check_paths('teacher', self.teacher.network, self.taps['teacher'])
            if soft and getattr(MODELS.get(request.cfg['type']), 'needs_labels', False):
                raise ValueError(f'model.losses.{name} ({request.cfg["type"]}) needs labels, but {soft} makes soft '
                                 'ones of them. Drop one of the two.')

    def _check_taught(self) -> None:
        """Raise ValueError if a part of the head that a loss has to train has none; it would answer at random."""
        head = getattr(self.student, 'head', None)
        for path in (f'head.{part}' for part in getattr(head, 'taught', ())):
            if path not in self._paths('student'):
                raise ValueError(f'model.student.head: {type(head).__name__} answers with {path} too, which no loss '
                                 f"trains. Take losses with student='{path}', as those of hard_kd and soft_token "
                                 "(--method hard_kd), or model.student.head.type='SpikingLinearHead'.")

    def _dry_run(self, input_shape: Union[Tuple[int, ...], Dict[str, Tuple[int, ...]], None]
                 ) -> Tuple[Dict[str, Features], DataSample]:
        """Features of an all-zero sample, by side and path, and a sample with a target for it."""
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
        student_mode = self.student.training
        shown = dict(shapes) if shapes['student'] != shapes['teacher'] else tuple(shapes['student'])
        try:
            # One sample says nothing of the batches that a teacher's code is to be compiled for.
            with torch.no_grad(), torch.compiler.set_stance('force_eager'), compiling_nothing():
                self.student.eval()
                with self.student_recorder as recorder:
                    output = self.student(torch.zeros(1, *shapes['student']))
                self.task.check_output(output)
                features = dict(student=recorder.features,
                                teacher=self._teachers_shapes(torch.zeros(1, *shapes['teacher'])))
        except RuntimeError as error:
            problem = misfit(error)
            if problem is None:
                raise
            raise ValueError(f'model.input_shape={shown}: {problem}') from error
        finally:
            self.student.train(student_mode)
        for side, recorded in features.items():
            check_batch_axis(recorded, self._label(side))
        return features, self.task.example(output)

    def _teachers_shapes(self, sample: Tensor) -> Features:
        """What the teacher says of a sample; as far as a cache stands in for it, zeros of the same shapes."""
        if self._teacher is not None and not self.teacher_is_built:
            return self.teacher_cache.examples()
        features = self.teach(sample)
        if self.teacher_cache is not None:
            self.teacher_cache.learn_shapes(features)
        return features

    def _label(self, side: str) -> str:
        return f'the {side} ({", ".join(f"model.losses.{name}.{side}" for name in self.requests)})'

    def _check_fit(self, features: Dict[str, Features], sample: DataSample, input_shape: Union[tuple, dict, None]
                   ) -> None:
        """Run each loss on what the dry run has recorded."""
        for name, loss in self.losses.items():
            recorded = [features['student'][path] for path in self.requests[name].paths('student')]
            if input_shape is None and any(x.dim() - x.has_time > 2 for x in recorded):
                continue  # at a guessed input size, spatial sizes say nothing
            training = loss.training
            try:
                with torch.no_grad():
                    self._run_loss(name, loss.eval(), features, [sample], self.task.targets([sample]))
            except ValueError as error:
                raise ValueError(f'model.losses.{name}: {error}') from error
            finally:
                loss.train(training)

    # ---- running ----

    def learn_channel_order(self, data: Any) -> None:
        """Tell the teacher the order of colours of data, see :func:`bkdsnn.utils.colours.learn_channel_order`."""
        learn_channel_order(self.data_preprocessor, data)
        if self._teacher is not None:
            self._teacher.adapt_to(self.data_preprocessor)

    def _paths(self, side: str) -> List[str]:
        return [path for request in self.requests.values() for path in request.paths(side)]

    @property
    def student_recorder(self) -> FeatureRecorder:
        """A new recorder of what the losses ask of the student."""
        return FeatureRecorder(self.student, self._paths('student'), self._label('student'), needs_grad=True)

    @property
    def teacher_recorder(self) -> FeatureRecorder:
        """A new recorder of what the losses ask of the teacher."""
        return FeatureRecorder(self.teacher.network, self._paths('teacher'), self._label('teacher'))

    def teach(self, inputs: Tensor) -> Features:
        """What the losses ask of the teacher for its view of a batch, by path; in fp32 at least."""
        if self._teacher is None or not self._paths('teacher'):
            return {}
        if self.teacher_cache is not None and self.teacher_cache.is_at_batch:
            return self.teacher_cache.replay(inputs, self._ask_teacher)
        return self._ask_teacher(inputs)

    def _ask_teacher(self, inputs: Tensor) -> Features:
        with self.teacher_recorder as recorder:
            self.teacher(inputs)
        return as_target(recorder.features)

    def _apply(self, fn, recurse: bool = True) -> 'Distiller':
        if self._teacher is not None:
            self._teacher._apply(fn, recurse)
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
        self._tell_progress()
        with self.student_recorder as recorder:
            losses = self._task_losses(views['student'], data_samples)
        features = dict(student=recorder.features, teacher=self.teach(views['teacher']))
        target = self.task.targets(data_samples)
        for name, loss in self.losses.items():
            if name in losses:
                raise ValueError(f'model.losses: rename {name!r}; the student logs a loss of its own under it.')
            losses[name] = self._run_loss(name, loss, features, data_samples, target)
        return losses

    def _task_losses(self, inputs: Tensor, data_samples: List[DataSample]) -> Dict[str, Tensor]:
        """The student's own losses; none of them where its loss is replaced or dropped."""
        if self.task_loss is None:
            self.student(inputs, data_samples, 'tensor')
            return {}
        losses = self.student(inputs, data_samples, 'loss')
        if TASK_LOSS in losses:
            losses[TASK_LOSS] = self.task_loss(losses[TASK_LOSS])
        elif self.task_loss.changes or self.task_loss.loss_weight != 1:
            raise ValueError(f'model.losses.{TASK_LOSS}: the student logs {", ".join(losses)}, so that there is no '
                             f'{TASK_LOSS} to weigh. Give its head that name for its loss, or drop the weight.')
        return losses

    def _run_loss(self, name: str, loss: nn.Module, features: Dict[str, Features], data_samples: List[DataSample],
                  target: Tensor) -> Tensor:
        request = self.requests[name]
        delivered = dict(target=target, data_samples=data_samples, progress=getattr(loss, 'progress', 0.0))
        for side in ('student', 'teacher'):
            delivered[side] = apply(getattr(request, side), features[side].__getitem__)
        if request.teacher_part is not None:
            delivered['teacher_part'] = find_module(self.teacher.network, request.teacher_part)
        # Features by position, as losses of one student's and one teacher's tensor have always got them.
        number = len(commonprefix([request.needs, ('student', 'teacher')]))
        return loss(*(delivered[need] for need in request.needs[:number]),
                    **{need: delivered[need] for need in request.needs[number:]})

    def _tell_progress(self) -> None:
        """Tell the losses that change over training how far it is."""
        changing = [loss for loss in (self.task_loss, *self.losses.values()) if getattr(loss, 'changes', False)]
        if changing:
            progress = training_progress()
            for loss in changing:
                loss.progress, loss.epoch_progress = progress


@torch.compiler.disable
def training_progress() -> Tuple[float, float]:
    """How far the run of this process is, from 0 to 1, in steps and in whole epochs; zeros outside of runs.

    A run of one epoch, which is what mmengine takes a run by iterations for, has both in steps.
    """
    hub = MessageHub.get_current_instance()
    steps, epochs = (hub.get_info(done, 0) / max(hub.get_info(planned, 1), 1)
                     for done, planned in (('iter', 'max_iters'), ('epoch', 'max_epochs')))
    return steps, epochs if hub.get_info('max_epochs', 1) > 1 else steps


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
