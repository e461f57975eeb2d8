"""Tells the teacher's cache which batch comes next."""
from typing import Optional

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from bkdsnn.registry import HOOKS

from ..teacher_cache import cache_of, check_sum, distiller_of, open_cache, seed_hook_of


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Opens ``model.teacher_cache`` before training, and tells it of each batch which one it is.

    Does nothing without a cache. Batches that are missing are filled as training comes to them.

    Raises:
        ValueError: If draws do not repeat, or the cache cannot be used; see
            :class:`bkdsnn.models.teachers.cache.TeacherCache`.
    """

    # Before TeacherCheckHook, which need not load the teacher of a complete cache.
    priority = 'ABOVE_NORMAL'

    def before_train(self, runner: Runner) -> None:
        cache = cache_of(runner)
        if cache is None:
            return
        open_cache(runner)
        if cache.is_complete and not distiller_of(runner).teacher_is_built:
            print_log('The teacher is not loaded: its cache holds all that losses ask for.', logger='current')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None) -> None:
        cache = cache_of(runner)
        if cache is not None:
            cache.go_to(seed_hook_of(runner).samples.epoch, get_rank(), batch_idx, check_sum(data_batch))

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        cache = cache_of(runner)
        if cache is not None:
            cache.leave()
