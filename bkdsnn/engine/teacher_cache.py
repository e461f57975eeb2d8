"""Between a runner and its model's teacher cache: what the cache depends on, and which batch comes next."""
import zlib
from typing import Any, Dict, Iterator, Optional

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from mmpretrain.engine.hooks import SwitchRecipeHook
from torch import Tensor

from bkdsnn.config.data import steps_in_epoch, without
from bkdsnn.models.teachers.cache import TeacherCache
from bkdsnn.models.teachers.identity import plain

from .hooks.epoch_seed_hook import EpochSeedHook

# Numbers of a sample that go into the check sum of a batch.
LOOKED_AT = 64


def distiller_of(runner: Runner) -> Any:
    """The runner's model, without what wraps it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def cache_of(runner: Runner) -> Optional[TeacherCache]:
    """The teacher cache of the runner's model, if there is one."""
    return getattr(distiller_of(runner), 'teacher_cache', None)


def seed_hook_of(runner: Runner) -> EpochSeedHook:
    """The hook that has the draws repeat.

    Raises:
        ValueError: If there is none, or it does not.
    """
    hook: Optional[Hook] = next((hook for hook in runner.hooks if isinstance(hook, EpochSeedHook)), None)
    if hook is None or hook.augmentation_epochs is None:
        raise ValueError('model.teacher_cache needs draws that repeat. Set custom_hooks=[dict(type="EpochSeedHook", '
                         'augmentation_epochs=K), ...] (--cfg-options custom_hooks.0.augmentation_epochs=K); with K as '
                         'large as train_cfg.max_epochs nothing repeats within a run.')
    return hook


def open_cache(runner: Runner, processes: Optional[int] = None) -> None:
    """Open the teacher cache of a runner that is about to train.

    Args:
        runner: With a data loader that is built, and draws that repeat.
        processes: Of the training; by default as many as there are now.

    Raises:
        ValueError: If draws do not repeat, images change in the middle of training, or the cache cannot be used.
    """
    hook, loader, processes = seed_hook_of(runner), runner.train_dataloader, processes or get_world_size()
    check_recipes(runner)
    hook.repeat(runner)
    steps = steps_in_epoch(len(loader.dataset), processes, loader.batch_size, loader.drop_last)
    cache_of(runner).open(key_of(runner, hook, processes), hook.augmentation_epochs, processes, steps,
                          loader.batch_size)


def check_recipes(runner: Runner) -> None:
    """Refuse what changes the teacher's images in the middle of training, since its answers change with them.

    Raises:
        ValueError: If a hook does so.
    """
    for hook in runner.hooks:
        for epoch, recipe in hook.schedule.items() if isinstance(hook, SwitchRecipeHook) else ():
            changed = [name for name in ('batch_augments', 'train_pipeline') if name in recipe]
            if changed and epoch <= runner.max_epochs:
                raise ValueError(f'model.teacher_cache: SwitchRecipeHook changes {" and ".join(changed)} at epoch '
                                 f'{epoch}, and the cache would go on with answers about images as they were before. '
                                 'Leave the hook out of custom_hooks, end training before (train_cfg.max_epochs), or '
                                 'train without the cache.')


def key_of(runner: Runner, hook: EpochSeedHook, processes: int) -> Dict[str, Any]:
    """All that what the teacher says depends on besides itself, as plain data."""
    cfg, loader = runner.cfg, runner.train_dataloader
    model = cfg.model
    preprocessing = dict(data_preprocessor=cfg.get('data_preprocessor'), model=model.get('data_preprocessor'),
                         student=model.student.get('data_preprocessor'), train_cfg=model.student.get('train_cfg'))
    wrapper = runner.optim_wrapper
    precision = getattr(wrapper, 'cast_dtype', None) if isinstance(wrapper, AmpOptimWrapper) else None
    return plain(dict(
        preprocessing=preprocessing,
        dataset=without(cfg.train_dataloader.dataset, 'cache_dir'),
        classes=(getattr(loader.dataset, 'metainfo', None) or {}).get('classes'),
        samples=dict(number=len(loader.dataset), digest=hook.digest),
        batches=dict(batch_size=loader.batch_size, drop_last=loader.drop_last, sampler=cfg.train_dataloader.sampler),
        seed=runner.seed,
        augmentation_epochs=hook.augmentation_epochs,
        processes=processes,
        computed=dict(precision=str(precision or torch.float32), device=distiller_of(runner).data_preprocessor.device,
                      torch=torch.__version__)))


def check_sum(batch: dict) -> int:
    """Of some numbers of each sample of a batch as the loader gives it, and of the labels."""
    total = 0
    for tensor in _tensors(batch['inputs']):
        flat = tensor.reshape(len(tensor), -1)
        some = flat[:, ::max(1, flat.shape[1] // LOOKED_AT)].contiguous().cpu()
        total = zlib.crc32(some.numpy(), total)
    for sample in batch.get('data_samples') or ():
        if 'gt_label' in sample:
            total = zlib.crc32(sample.gt_label.cpu().numpy(), total)
    return total


def _tensors(inputs: Any) -> Iterator[Tensor]:
    """Batches, of each view; a list of samples counts as a batch for each."""
    if isinstance(inputs, Tensor):
        yield inputs
    else:
        for part in inputs.values() if isinstance(inputs, dict) else inputs:
            yield from _tensors(part)
