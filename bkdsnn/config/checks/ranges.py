"""What the values of a config may be: a table of settings whose type alone says too little."""
import math
import re
from functools import cache
from typing import Any

from .kinds import Filled, Number, OneOf, Section, Switch
from .parts import LIBRARIES, Part, matches, without_numbers
from .places import CLIPPING, ROOTS

COUNT, COUNT_FROM_0, CHANCE = Number(least=1, whole=True), Number(least=0, whole=True), Number(least=0, most=1)
POSITIVE, NOT_NEGATIVE, RATE = Number(above=0), Number(least=0), Number(least=0, below=1)
COUNTS, CHANCES, SWITCH = COUNT._replace(many=True), CHANCE._replace(many=True), Switch()
# Parts of a config of which there may be several.
LISTS = ('param_scheduler', 'val_evaluator', 'test_evaluator', 'custom_hooks')
LEVELS = ('NOTSET', 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'FATAL', 'CRITICAL')
# By key as in places.py, or by class and argument; the first that fits counts. None passes where an argument that is
# left out is None.
VALUES = {
    **{root: Section(lists=root in LISTS) for root in ROOTS},
    **dict.fromkeys(('*_dataloader.dataset', '*_dataloader.*sampler', 'optim_wrapper.optimizer', 'env_cfg.*_cfg',
                     'optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg', '**.custom_keys', '**.custom_keys.*'),
                    Section()),
    'work_dir': Filled(str),
    'log_level': OneOf(LEVELS),
    'launcher': OneOf(('none', 'pytorch', 'slurm', 'mpi')),
    '*_dataloader.batch_size': COUNT,
    '*_dataloader.num_workers': COUNT_FROM_0,
    '*_dataloader.prefetch_factor': COUNT,
    '*_dataloader.num_batch_per_epoch': COUNT,
    '*_dataloader.timeout': NOT_NEGATIVE,
    '*_dataloader**.pipeline': Filled(list),
    '*_dataloader**.padding': COUNT_FROM_0._replace(many=True),
    'train_cfg.by_epoch': SWITCH,
    'train_cfg.val_begin': COUNT_FROM_0,
    'train_cfg.max_epochs': COUNT,
    'train_cfg.max_iters': COUNT,
    'train_cfg.val_interval': COUNT,
    'optim_wrapper.accumulative_counts': COUNT,
    'optim_wrapper.clip_grad.type': OneOf(tuple(CLIPPING)),
    'optim_wrapper.clip_grad.max_norm': Number(above=0, infinite=True),
    'optim_wrapper.clip_grad.norm_type': Number(above=0, infinite=True),
    'optim_wrapper.clip_grad.clip_value': POSITIVE,
    'optim_wrapper.optimizer.lr': POSITIVE,
    'optim_wrapper.optimizer.weight_decay': NOT_NEGATIVE,
    'optim_wrapper.optimizer.momentum': RATE,
    'optim_wrapper.optimizer.betas': RATE._replace(many=True),
    'optim_wrapper.optimizer.eps': NOT_NEGATIVE._replace(many=True),
    'optim_wrapper.paramwise_cfg.**_mult': NOT_NEGATIVE,
    'optim_wrapper.paramwise_cfg.bypass_duplicate': SWITCH,
    'param_scheduler.T_max': COUNT,
    'param_scheduler.begin': COUNT_FROM_0,
    'param_scheduler.end': COUNT,
    'param_scheduler.last_step': Number(least=-1, whole=True),
    'param_scheduler.step_size': COUNT,
    'param_scheduler.milestones': COUNTS,
    'param_scheduler.periods': COUNTS,
    'param_scheduler.total_steps': COUNT,
    'param_scheduler.warmup': COUNT_FROM_0,
    'param_scheduler.warmup_lr': NOT_NEGATIVE,
    'param_scheduler.eta_min': NOT_NEGATIVE,
    'param_scheduler.eta_min_ratio': CHANCE,
    'param_scheduler.eta_max': POSITIVE,
    'param_scheduler.gamma': POSITIVE,
    'param_scheduler.power': POSITIVE,
    'param_scheduler.factor': Number(above=0, most=1),
    'param_scheduler.start_factor': Number(above=0, most=1),
    'param_scheduler.end_factor': CHANCE,
    'param_scheduler.restart_weights': NOT_NEGATIVE._replace(many=True),
    'param_scheduler.convert_to_iter_based': SWITCH,
    'auto_scale_lr.base_batch_size': COUNT,
    'auto_scale_lr.enable': SWITCH,
    'default_hooks.*': Filled(dict, or_none=True),
    'default_hooks.checkpoint.interval': Number(least=1, whole=True, also=(-1, )),
    'default_hooks.checkpoint.max_keep_ckpts': Number(least=1, whole=True, also=(-1, )),
    '*_hooks**.interval': COUNT,
    '*_hooks**.action_epoch': COUNT,
    '*_hooks**.augmentation_epochs': COUNT,
    '*_hooks**.momentum': Number(above=0, below=1),
    '*_hooks**.tolerance': NOT_NEGATIVE,
    'env_cfg.cudnn_benchmark': SWITCH,
    'env_cfg.resource_limit': COUNT,
    'env_cfg.mp_cfg.mp_start_method': OneOf(('fork', 'spawn', 'forkserver')),
    'env_cfg.mp_cfg.opencv_num_threads': COUNT_FROM_0,
    'randomness.seed': Number(least=0, most=2**32 - 1, whole=True, also=(None, )),
    '**data_preprocessor.mean': Number(many=True),
    '**data_preprocessor.std': POSITIVE._replace(many=True),
    '**.probs': CHANCES,
    '**.*prob': CHANCES,
    '**.*_classes': COUNT,
    '**.in_channels': COUNTS,
    '**.labels_per_class': COUNT,
    # Figures would be of other samples than there are.
    'val_dataloader**.on_error': OneOf(('raise', )),
    'test_dataloader**.on_error': OneOf(('raise', )),
    '**.on_error': OneOf(('raise', 'skip')),
    '**.time_steps': COUNT,
    '**.size': COUNTS,
    '**.img_size': COUNTS,
    '**.patch_size': COUNTS,
    '**.crop_size': COUNTS,
    '**.scale': POSITIVE._replace(many=True),
    '**.magnitude_level': NOT_NEGATIVE,
    '**.magnitude_std': Number(least=0, also=('inf', )),
    '**.init_cfg.std': POSITIVE,
    '**.label_smooth_val': RATE,
    'TimmClassifier.pretrained': SWITCH,
    'model.teacher**.expected_accuracy': Number(above=1, most=100),
    'model.teacher_cache.folder': Filled(str),
    'model.teacher_cache.dtype': OneOf(('float32', 'float16')),
    'model.teacher_cache.top_k': COUNT,
    'model.teacher_cache.on_mismatch': OneOf(('rebuild', 'raise')),
    'model.losses.*': Filled(dict, or_none=True),
    'model.losses.*.loss_weight': POSITIVE._replace(dicts=True),
    'model.losses.*.lr_mult': POSITIVE._replace(also=(None, )),
    '**.loss_weight': NOT_NEGATIVE,
    'model.losses.*.tau': POSITIVE._replace(dicts=True),
    'model.losses.*.blur_ratio': CHANCE,
    '**.topk': COUNTS,
    'image_shape': COUNTS._replace(also=(None, )),
    'views_shape.*': COUNTS,
    'model**.input_shape': COUNTS._replace(dicts=True),
    'model**.input_shape.*': COUNTS,
}


def check_values(part: Part) -> None:
    """Check the values in a dict by the table, and where it says nothing, by what takes them.

    Components of one's own are held to what they declare alone.

    Raises:
        ValueError: For the first value that makes no sense, with what would.
    """
    is_own = part.found is not None and not part.found.__module__.startswith((*LIBRARIES, 'torch.'))
    for key, value in part.node.items():
        argument = part.arguments.named.get(key)
        declared = argument is not None and not argument.is_unknown
        takes = None if is_own else _row(without_numbers(part.at(key))) or _row(f'{part.name}.{key}')
        if takes is None:
            if declared and not argument.takes(value):
                raise ValueError(f'{part.at(key)}={shown(value)} must be {argument}, as {part.name} takes it.'
                                 f'{_hint(value)}')
            continue
        is_left_out = value is None and declared and argument.default is None
        is_schedule = isinstance(value, dict) and getattr(takes, 'dicts', False)
        if not (takes.takes(value) or is_left_out or is_schedule):
            raise ValueError(f'{part.at(key)}={shown(value)} must be {takes}.{_hint(value)}')


def check_finite(node: Any, path: str) -> None:
    """Check that no number at or below a key is infinite or none at all, unless the table says that it may be.

    Raises:
        ValueError: For the first that is.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            check_finite(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            check_finite(value, f'{path}[{i}]')
    elif isinstance(node, float) and not math.isfinite(node):
        if math.isnan(node) or not getattr(_row(without_numbers(path)), 'infinite', False):
            raise ValueError(f'{path}={node} must be a finite number.')


def shown(value: Any) -> str:
    """A value for an error, cut if it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _hint(value: Any) -> str:
    is_number = isinstance(value, str) and re.fullmatch(r'[-+]?[\d.]+(e[-+]?\d+)?', value)
    return ' It is text; write it without quotes.' if is_number else ''


@cache
def _row(key: str) -> Any:
    return next((takes for pattern, takes in VALUES.items() if matches(key, pattern)), None)
