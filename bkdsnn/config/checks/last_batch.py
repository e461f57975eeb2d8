"""A batch of one sample, on which batch norms of single values and some losses cannot be trained."""
import copy
from typing import Optional

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from torch import nn
from torch.utils.data import DataLoader

from bkdsnn.utils.shape_errors import module_of

# What PyTorch says.
SINGLE_VALUE = 'Expected more than 1 value per channel'


def check_last_batch(loader: DataLoader, model: nn.Module, key: str) -> None:
    """Run one training step on a copy of the model, without gradients, where an epoch has a batch of one sample.

    Args:
        loader: For training.
        model: What is trained.
        key: Of the loader in the config.

    Raises:
        ValueError: If that fails, or a loss is no finite number then; the message names the norm or the loss, and the
            way out.
    """
    size = loader.batch_size
    has_rest = not (loader.drop_last or isinstance(loader.sampler, InfiniteSampler))
    if size is None or not (size == 1 or has_rest and len(loader.sampler) % size == 1):
        return
    if get_world_size() > 1 and any('SyncBatchNorm' in type(module).__name__ for module in model.modules()):
        return  # whose statistics are of other processes' samples too
    problem = _problem(loader, model)
    if problem is None:
        return
    if size == 1:
        raise ValueError(f'{key}.batch_size=1: {problem} Set a larger batch_size.')
    raise ValueError(f'{key}: the last batch of an epoch has 1 of {len(loader.sampler)} samples, the others '
                     f'{key}.batch_size={size}: {problem} Set {key}.drop_last=True, or another batch_size.')


def _problem(loader: DataLoader, model: nn.Module) -> Optional[str]:
    trial = copy.deepcopy(model).train()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            data = trial.data_preprocessor(loader.collate_fn([loader.dataset[0]]), True)
            losses = trial(**data, mode='loss')
        except ValueError as error:
            if SINGLE_VALUE not in str(error):
                raise
            path, norm, _ = module_of(error) or ('a batch norm', None, None)
            return f'model.{path}{"" if norm is None else f", a {type(norm).__name__},"} gets 1 value per channel.'
    wrong = [name for name, loss in losses.items() if isinstance(loss, torch.Tensor) and not loss.isfinite().all()]
    return f'{", ".join(wrong)} of one sample is no finite number.' if wrong else None
