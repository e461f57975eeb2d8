"""Models on the data of their configs, outside a training run."""
import copy
from typing import Iterable, Iterator, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..checkpoints.classes import check_classes
from ..config.data import loader_config
from ..evaluation.over_time import stack_steps
from ..registry import METRICS, MODELS
from ..utils.colours import learn_channel_order


def build_loader(cfg: Config, split: str = 'test', dataset_meta: Optional[dict] = None) -> DataLoader:
    """The data loader of a config's split.

    Args:
        cfg: The config.
        split: ``'test'``, ``'val'`` or ``'train'``.
        dataset_meta: What the checkpoint of a network says of its classes, where its answers shall be counted.

    Raises:
        ValueError: If the config has none, or it has other classes than the network, or in another order.
    """
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        loader = Runner.build_dataloader(copy.deepcopy(loader_config(cfg, split)))
    found = getattr(loader.dataset, 'metainfo', None)
    check_classes(dataset_meta, found, 'the checkpoint', f'{split}_dataloader.dataset')
    return loader


@torch.no_grad()
def evaluate(model: nn.Module, split: str = 'test') -> float:
    """Top-1 accuracy in percent.

    Args:
        model: From :func:`bkdsnn.init_model`, with its ``cfg``.
        split: ``'test'`` or ``'val'``: which of the config's data loaders to use.
    """
    loader = build_loader(model.cfg, split, getattr(model, 'dataset_meta', None))
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        metric = METRICS.build(dict(type='mmpretrain.Accuracy'))
        for batch in loader:
            metric.process(batch, [sample.to_dict() for sample in model.test_step(batch)])
        return metric.evaluate(len(loader.dataset))['accuracy/top1']


@torch.no_grad()
def predict_steps(model: nn.Module, batches: Iterable[dict]) -> Tuple[Tensor, Tensor]:
    """Logits of each time step (T, N, K) and labels (N, ) of all batches of a data loader.

    Raises:
        ValueError: If the network predicts without time steps, as an ANN does, or T varies.
    """
    predictions = [sample for batch in batches for sample in model.test_step(batch)]
    logits = stack_steps([sample.get('step_logits') for sample in predictions])
    return logits, torch.cat([sample.gt_label.cpu() for sample in predictions])


def spread_samples(loader: DataLoader, number: int) -> Iterator[dict]:
    """Batches of one sample, ``number`` of them, spread evenly over the data set."""
    indices = torch.linspace(0, len(loader.dataset) - 1, min(number, len(loader.dataset))).round().int().tolist()
    return (loader.collate_fn([loader.dataset[index]]) for index in indices)


def init_teacher(cfg: Config, student: nn.Module) -> Optional[nn.Module]:
    """The frozen teacher of a distillation config with its weights, for a student's inputs; ``None`` without one.

    Raises:
        FileNotFoundError, ValueError: If its checkpoint is missing or does not fit.
    """
    if cfg.model.get('teacher') is None:
        return None
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        teacher = MODELS.build(copy.deepcopy(cfg.model.teacher))
    learn_channel_order(student.data_preprocessor, cfg)
    teacher.adapt_to(student.data_preprocessor)
    return teacher
