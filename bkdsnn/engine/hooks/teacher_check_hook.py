"""Is the teacher as good as the recipe expects?"""
from typing import Optional

import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from bkdsnn.checkpoints.classes import check_classes, classes_in, difference
from bkdsnn.config.data import without
from bkdsnn.models.distillers.distiller import views_of
from bkdsnn.models.teachers import FrozenTeacher
from bkdsnn.registry import HOOKS, METRICS


@HOOKS.register_module()
class TeacherCheckHook(Hook):
    """Measures the teacher's accuracy on the validation data before training; does nothing without a teacher.

    Of a teacher whose cache is complete, it takes what was measured when that was filled.
    Before, it tells the model whether the data are RGB or BGR, where the data preprocessor does not say.

    Args:
        tolerance: By how many percent points the teacher may miss ``teacher.expected_accuracy``.

    Raises:
        ValueError: If that cannot be measured, or the teacher is worse than that: wrong weights, wrong preprocessing or
            wrong classes; or if its checkpoint has the classes of the data in another order.
    """

    def __init__(self, tolerance: float = 0.5) -> None:
        self.tolerance = tolerance

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not getattr(model, 'has_teacher', False):
            return
        loops = [loop for loop in (runner.train_loop, runner.val_loop) if loop is not None]
        model.learn_channel_order([loop.dataloader.dataset for loop in loops])
        # Of all processes, as they measure together.
        dataset = (runner.cfg.get('val_dataloader') or {}).get('dataset')
        data = None if dataset is None else str(without(dataset, 'cache_dir'))
        if all(all_gather_object(self._is_known(model, data))):
            return
        teacher = model.teacher
        check_teachers_classes(teacher, getattr(loops[0].dataloader.dataset, 'metainfo', None))
        expected = teacher.expected_accuracy
        if runner.val_loop is None:
            if expected is not None:
                raise ValueError(f'model.teacher.expected_accuracy={expected} cannot be checked without validation '
                                 'data. Validate, or set it to None.')
            print_log('The teacher is not checked: there is no validation data.', logger='current')
            return
        accuracy = self.measure(model, runner.val_loop.dataloader)
        if accuracy is None:
            if expected is not None:
                raise ValueError(f'model.teacher.expected_accuracy={expected} cannot be checked: the teacher answers '
                                 'another task, or with other classes, than the validation data. Set it to None.')
            print_log('The teacher is not checked: it answers another task, or with other classes, than the '
                      'validation data.', logger='current')
            return
        if model.teacher_cache is not None and is_main_process():
            model.teacher_cache.keep_accuracy(accuracy, data)
        print_log(f'Teacher accuracy on the validation data: {accuracy:.2f} %' +
                  ('' if expected is None else f' (expected {expected} %)'), logger='current')
        if expected is not None and accuracy < expected - self.tolerance:
            raise ValueError(f'the teacher reaches {accuracy:.2f} % on the validation data but '
                             f'model.teacher.expected_accuracy is {expected} %. Check model.teacher.checkpoint '
                             f'({teacher.checkpoint!r}), .mean, .std and .input_size, or correct expected_accuracy.')

    def _is_known(self, model: torch.nn.Module, data: Optional[str]) -> bool:
        """Whether the teacher need not be built for this: its cache is complete, and says how good it was.

        Without validation data, what it was on those that the cache was filled beside counts.
        """
        cache, expected = model.teacher_cache, model.expected_accuracy
        if model.teacher_is_built or not cache.is_complete:
            return False
        known = cache.accuracy_on(data)
        if known is None:
            return expected is None
        print_log(f'Teacher accuracy on the validation data, when its cache was filled: {known:.2f} %',
                  logger='current')
        # Of one that is worse, the measurement says what to do.
        return expected is None or known >= expected - self.tolerance

    @staticmethod
    def measure(model: torch.nn.Module, dataloader) -> Optional[float]:
        """Accuracy in percent of ``model.teacher`` on a data loader, over the samples of all processes, by its task.

        ``None`` if it answers something else, as where only features are distilled.
        """
        metric = METRICS.build(model.task.metric)
        metainfo = getattr(dataloader.dataset, 'metainfo', None) or {}
        for batch in dataloader:
            data = model.data_preprocessor(batch, False)
            output = model.teacher(views_of(data['inputs'])['teacher'])
            answers = model.task.answers(output, data['data_samples'], metainfo)
            if answers is None:
                return None
            metric.process(batch, answers)
        # Which leaves out what a sampler has repeated to give all processes as many.
        return metric.evaluate(len(dataloader.dataset))[model.task.accuracy]


def check_teachers_classes(teacher: torch.nn.Module, metainfo: Optional[dict]) -> None:
    """Hold the classes that checkpoints of teachers know to those of the data.

    Raises:
        ValueError: If they are the same in another order. Others may have something to teach: that is said.
    """
    key = 'train_dataloader.dataset'
    theirs = classes_in(metainfo, key)
    for one in filter(lambda module: isinstance(module, FrozenTeacher), teacher.modules()):
        meta = one.dataset_meta
        ours = classes_in(meta, 'the teacher')
        if ours is None or theirs is None or ours == theirs:
            continue
        if sorted(ours) == sorted(theirs):
            check_classes(meta, metainfo, f'model.teacher.checkpoint={one.checkpoint!r}', key)
        print_log(f'The teacher and {key} {difference(ours, theirs)}.', logger='current')
