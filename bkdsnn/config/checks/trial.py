"""Parts that cost nothing, built once and thrown away, so that what they refuse is found before data and networks."""
import copy
import traceback
import warnings
from typing import Any, Callable, List

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import RandomBatchAugment
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from bkdsnn import registry as ours
from bkdsnn.config.sharded_optimizer import unsharded

from .parts import LIBRARIES, Part, matches, without_numbers
from .places import CLIPPING, LOADERS
from .ranges import shown

TRIED = {
    '*_dataloader.**.pipeline': ours.TRANSFORMS, '*_dataloader.pipeline': ours.TRANSFORMS,
    '*_evaluator': ours.METRICS, '*_evaluator.metrics': ours.METRICS,
    'custom_hooks': ours.HOOKS, 'default_hooks.*': ours.HOOKS}
NOT_TRIED = ('VisualizationHook', 'Evaluator')  # the former asks for a visualizer
OF_DATA = ('dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch',
           'disable_subprocess_warning')


def try_parts(cfg: Config, parts: List[Part]) -> None:
    """Build transforms, metrics, hooks, batch augmentations, data loaders without data, optimizer and schedules.

    Of transforms, metrics and hooks, those of the libraries; others may load files when they are built.

    Raises:
        ValueError: For the first that cannot be built, with its key and the reason.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'bkdsnn'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for part in parts:
            place = without_numbers(part.path)
            registry = next((registry for pattern, registry in TRIED.items() if matches(place, pattern)), None)
            if registry is not None and part.found.__module__.startswith(LIBRARIES) and part.name not in NOT_TRIED:
                _try(part.path, {key: value for key, value in part.node.items() if key != 'priority'}, registry.build)
            elif part.found is RandomBatchAugment:
                _try(part.path, part.node, lambda node: RandomBatchAugment(**node))
            elif part.path in LOADERS:
                _try(part.path, part.node, _build_loader)
        wrapper = cfg.get('optim_wrapper')
        if wrapper and wrapper.get('constructor') is None:
            _try_schedules(cfg, _try_optimizer(wrapper))


def _build_loader(loader: dict) -> None:
    """A data loader of one number, as far as its settings do not need the data."""
    DataLoader([0], **{key: value for key, value in loader.items() if key not in OF_DATA})


def _try_optimizer(wrapper: dict) -> Optimizer:
    """The optimizer of one number, with its gradient clipped."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    if wrapper.get('clip_grad') is not None:
        _try('optim_wrapper.clip_grad', wrapper.clip_grad,
             lambda node: CLIPPING[node.pop('type', 'norm')]([parameter], **node))
    return _try('optim_wrapper.optimizer', wrapper.optimizer,
                lambda node: ours.OPTIMIZERS.build(dict(unsharded(node), params=[parameter])))


def _try_schedules(cfg: Config, optimizer: Optimizer) -> None:
    """The schedules, which end with the training unless they say otherwise."""
    schedules, loop = cfg.get('param_scheduler') or [], cfg.get('train_cfg') or {}
    is_list = isinstance(schedules, (list, tuple))
    for i, schedule in enumerate(schedules if is_list else [schedules]):
        end = loop.get('max_epochs' if schedule.get('by_epoch', True) else 'max_iters')
        _try(f'param_scheduler[{i}]' if is_list else 'param_scheduler',
             schedule if end is None else {'end': end, **schedule},
             lambda node: ours.PARAM_SCHEDULERS.build(node, default_args=dict(optimizer=optimizer, epoch_length=1)))


def _try(path: str, node: dict, build: Callable[[dict], Any]) -> Any:
    """What is built of a copy of a dict."""
    try:
        return build(copy.deepcopy(dict(node)))
    except Exception as error:  # libraries raise what they like, assertions above all
        reason = str(error) or f'{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1].line!r}'
        raise ValueError(f'{path}={shown(dict(node))} cannot be built: {reason}') from error
