"""Settings that need each other."""
import importlib.util
import inspect
import math
from typing import List

from mmengine import registry as mmengine
from mmengine.config import Config
from mmpretrain.engine.hooks import SwitchRecipeHook

from bkdsnn import registry as ours
from bkdsnn.utils.names import suggestion

from .parts import Part, find

# Of each, all or none: what mmengine's runner trains, validates and tests with.
TOGETHER = (('train_dataloader', 'train_cfg', 'optim_wrapper'), ('val_dataloader', 'val_cfg', 'val_evaluator'),
            ('test_dataloader', 'test_cfg', 'test_evaluator'))

CONSTRUCTOR = 'DefaultOptimWrapperConstructor'


def check_scope(cfg: Config) -> None:
    """Raise ValueError where ``default_scope`` is no library that has components."""
    scope, known = cfg.get('default_scope'), ['mmengine', *mmengine.MODELS.children]
    if scope is None or scope in known or isinstance(scope, str) and scope and importlib.util.find_spec(scope):
        return
    raise ValueError(f'default_scope={scope!r} is no library.{suggestion(str(scope), known)} Known: '
                     f'{", ".join(known)}.')


def check_relations(cfg: Config, parts: List[Part]) -> None:
    """Check that what needs each other is there.

    Raises:
        ValueError: For the first setting without another that it needs; the message names both.
    """
    for names in TOGETHER:
        there, missing = ([name for name in names if (cfg.get(name) is None) == is_missing]
                          for is_missing in (False, True))
        # Parts of configs, such as those of data sets, have no model; a planner needs an optimizer and no data.
        if there and there != ['optim_wrapper'] and missing and cfg.get('model') is not None:
            raise ValueError(f'{missing[0]} is missing, but there is {there[0]}: {", ".join(names)} are needed '
                             'together. Set them all, or all to None.')
    wrapper = cfg.get('optim_wrapper') or {}
    if cfg.get('param_scheduler') and not wrapper and cfg.get('model') is not None:
        raise ValueError('optim_wrapper is missing, but there is param_scheduler, which changes its settings.')
    if wrapper and wrapper.get('constructor') is None:
        _check_optimizer(wrapper)
    elif wrapper:
        find(wrapper.constructor, 'optim_wrapper.constructor', ours.OPTIM_WRAPPER_CONSTRUCTORS,
             cfg.get('default_scope') or 'bkdsnn')
    if wrapper:
        _check_loss_rates(cfg, wrapper)
    _check_loop(cfg.get('train_cfg') or {})
    if 'student' in (cfg.get('model') or {}):
        _check_recipes(parts)


def _check_loss_rates(cfg: Config, wrapper: dict) -> None:
    for name, loss in ((cfg.get('model') or {}).get('losses') or {}).items():
        if (loss or {}).get('lr_mult') is None:
            continue
        constructor = wrapper.get('constructor') or CONSTRUCTOR
        found = find(constructor, 'optim_wrapper.constructor', ours.OPTIM_WRAPPER_CONSTRUCTORS,
                     cfg.get('default_scope') or 'bkdsnn')
        if found is not ours.OPTIM_WRAPPER_CONSTRUCTORS.get(CONSTRUCTOR):
            raise ValueError(f"model.losses.{name}.lr_mult takes optim_wrapper.constructor='bkdsnn.{CONSTRUCTOR}', "
                             f'and {constructor} would not see it.')
        if (wrapper.get('optimizer') or {}).get('lr') is None:
            raise ValueError(f'model.losses.{name}.lr_mult is a factor of optim_wrapper.optimizer.lr, which is '
                             'missing.')


def _check_loop(loop: dict) -> None:
    if loop and ('type' in loop) == ('by_epoch' in loop):
        raise ValueError('train_cfg takes one of by_epoch (True for max_epochs, False for max_iters) and type.')
    key = 'max_epochs' if loop.get('max_epochs') else 'max_iters'
    if loop.get('val_begin', 0) > loop.get(key, math.inf):
        raise ValueError(f'train_cfg.val_begin={loop.val_begin} is never reached, since train_cfg.{key}={loop[key]}.')


def _check_recipes(parts: List[Part]) -> None:
    """A recipe's loss goes into ``model.loss_module``, and a distiller has several."""
    for part in parts:
        is_hook = inspect.isclass(part.found) and issubclass(part.found, SwitchRecipeHook)
        for index, recipe in enumerate(part.node.get('schedule') or () if is_hook else ()):
            if 'loss' in recipe:
                raise ValueError(f'{part.at(f"schedule[{index}].loss")}: a distillation has no single loss to exchange '
                                 'in the middle. Leave it out, and set model.losses.loss_cls, or give a loss a '
                                 'schedule of its weight (loss_weight=dict(points=...)).')


def _check_optimizer(wrapper: dict) -> None:
    optimizer, factors = wrapper.get('optimizer'), wrapper.get('paramwise_cfg') or {}
    if optimizer is None:
        raise ValueError('optim_wrapper.optimizer is missing.')
    own = [(f'custom_keys.{name}.{key}', key) for name, custom in (factors.get('custom_keys') or {}).items()
           for key in custom]
    for name, key in [(name, name) for name in factors] + own:
        for ending, scaled in (('decay_mult', 'weight_decay'), ('lr_mult', 'lr')):
            if key.endswith(ending) and optimizer.get(scaled) is None:
                raise ValueError(f'optim_wrapper.paramwise_cfg.{name} is a factor of optim_wrapper.optimizer.{scaled}, '
                                 'which is missing.')
