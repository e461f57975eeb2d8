"""Accuracy of a model on a data set of its config, outside a training run."""
import copy

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from ..registry import METRICS


@torch.no_grad()
def evaluate(model: nn.Module, split: str = 'test') -> float:
    """Top-1 accuracy in percent.

    Args:
        model: From :func:`bkdsnn.init_model`, with its ``cfg``.
        split: ``'test'`` or ``'val'``: which of the config's data loaders to use.
    """
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        loader = Runner.build_dataloader(copy.deepcopy(model.cfg[f'{split}_dataloader']))
        metric = METRICS.build(dict(type='mmpretrain.Accuracy'))
        for batch in loader:
            metric.process(batch, [sample.to_dict() for sample in model.test_step(batch)])
        return metric.evaluate(len(loader.dataset))['accuracy/top1']
