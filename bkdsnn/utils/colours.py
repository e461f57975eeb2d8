"""RGB or BGR: what data sets give, and what a network gets of it."""
import logging
from typing import Any, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmpretrain.datasets import CIFAR10
from torch import nn

from bkdsnn.config.data import datasets_in
from bkdsnn.registry import DATASETS

ORDERS = ('bgr', 'rgb')


def channel_order_of(dataset: Any, scope: Optional[str] = None) -> Optional[str]:
    """The order of colours that a data set gives, ``'bgr'`` or ``'rgb'``; ``None`` where it does not say.

    A data set says so by an attribute ``channel_order`` of its class. mmpretrain's CIFAR gives RGB; its other data sets
    are read from files, as BGR.

    Args:
        dataset: A data set, the config of one, or a list of these; wrappers are looked into.
        scope: Where a config's names without prefix are looked up.

    Raises:
        ValueError: If several data sets in one give different orders.
    """
    orders = {_order_of(part, scope) for part in datasets_in(dataset)} - {None}
    if len(orders) > 1:
        raise ValueError('some of the data sets that are used together give RGB, others BGR; a network cannot tell '
                         'which. Of CIFAR, take type=\'bkdsnn.CIFAR10\', which gives BGR as data read from files.')
    return next(iter(orders), None)


def _order_of(dataset: Any, scope: Optional[str]) -> Optional[str]:
    cls = type(dataset)
    if isinstance(dataset, dict):
        cls = dataset.get('type')
        if isinstance(cls, str):
            with DATASETS.switch_scope_and_registry(dataset.get('_scope_', scope)) as registry:
                cls = registry.get(cls)
    order = getattr(cls, 'channel_order', None)
    if order is None and isinstance(cls, type) and issubclass(cls, CIFAR10):
        return 'rgb'
    return order


def gives_rgb(preprocessor: nn.Module) -> Optional[bool]:
    """Whether a data preprocessor gives a network RGB; ``None`` where there are no colours.

    What it gets is BGR unless it says ``channel_order='rgb'``; ``to_rgb=True`` turns the order round.
    """
    flips = getattr(preprocessor, 'to_rgb', None)
    return None if flips is None else (getattr(preprocessor, 'channel_order', None) == 'rgb') != flips


def learn_channel_order(preprocessor: nn.Module, data: Any) -> None:
    """Have a data preprocessor know the order of colours that it gets, unless its config has said so.

    Args:
        preprocessor: Of images; others are left alone.
        data: A config, for its test data, or data sets as in :func:`channel_order_of`.
    """
    if getattr(preprocessor, 'to_rgb', None) is None:
        return
    if isinstance(data, Config):
        found = channel_order_of((data.get('test_dataloader') or {}).get('dataset'), data.get('default_scope'))
    else:
        found = channel_order_of(data)
    stated = getattr(preprocessor, 'channel_order', None)
    if stated is None:
        preprocessor.channel_order = found
    elif found not in (None, stated):
        print_log(f'data_preprocessor.channel_order={stated!r}, but the data set gives {found.upper()}. This is right '
                  'only if its pipeline turns the colours round.', logger='current', level=logging.WARNING)
