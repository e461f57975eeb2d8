"""What only the built data sets and networks say: is there a step in an epoch, and does a sample fit the model?"""
from typing import Any, Dict, Optional, Sequence, Tuple

import torch
from mmengine.dist import get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from bkdsnn.checkpoints.files import some_of
from bkdsnn.utils.names import suggestion
from bkdsnn.utils.random_states import same_random_numbers

from .last_batch import check_last_batch

VIEWS = ('student', 'teacher')


def check_built(runner: Runner, splits: Sequence[str]) -> None:
    """Check model and data of a runner before it runs. One sample of each is read; random numbers are not used up.

    Args:
        runner: From :func:`bkdsnn.apis.cli.build_runner`.
        splits: Of ``'train'``, ``'val'`` and ``'test'``; those that it does not have are left out.

    Raises:
        ValueError: If an epoch has no step, or one of a single sample that the model cannot be trained on, or a sample
            does not fit the model or those of another loader; the message names the config keys.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    shapes = {}
    for split in splits:
        loop = getattr(runner, f'{split}_loop')
        if loop is not None:
            key = f'{split}_dataloader'
            _check_length(loop.dataloader, key)
            if 'task' not in runner.cfg.model:
                _check_classes(loop.dataloader.dataset, model, key)
            shapes[key] = _check_sample(loop.dataloader, model, key)
            if split == 'train':
                with same_random_numbers():
                    check_last_batch(loop.dataloader, model, key)
    _check_views(shapes, runner.cfg.model.get('input_shape'))
    if 'train' in splits:
        _check_custom_keys(runner.cfg.get('optim_wrapper') or {}, model)


def _check_custom_keys(wrapper: dict, model: nn.Module) -> None:
    """Names of parameters that have factors of their own."""
    parameters = [name for name, _ in model.named_parameters()]
    for key in (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}:
        if not any(key in name for name in parameters):
            words = {word for name in parameters for word in name.split('.')}
            raise ValueError(f'optim_wrapper.paramwise_cfg.custom_keys: no parameter has {key!r} in its name.'
                             f'{suggestion(key, words)} Names are such as {some_of(parameters, 3)}.')


def _check_length(loader: DataLoader, key: str) -> None:
    if not hasattr(loader.dataset, '__len__'):
        return
    samples, processes = len(loader.dataset), get_world_size()
    if not samples:
        raise ValueError(f'{key}.dataset has no samples.')
    if not len(loader):
        each = f' in each of {processes} processes' if processes > 1 else ''
        raise ValueError(f'{key} has no step: {len(loader.sampler)} samples{each} do not fill a batch of '
                         f'{key}.batch_size={loader.batch_size}, and {key}.drop_last=True drops what is not full. Set '
                         'drop_last=False, or a smaller batch_size.')


def _check_classes(dataset: Any, model: nn.Module, key: str) -> None:
    classes, number, head = _classes_of(dataset), *_outputs_of(model)
    if classes and number and len(classes) != number:
        raise ValueError(f'{head}={number}, but {key}.dataset has {len(classes)} classes. Make them equal.')


def _classes_of(dataset: Any) -> Optional[Sequence[str]]:
    return (getattr(dataset, 'metainfo', None) or {}).get('classes')


def _outputs_of(model: nn.Module) -> Tuple[Optional[int], str]:
    """The number of classes that the network tells apart, and its key."""
    student = getattr(model, 'student', model)
    number = getattr(getattr(student, 'head', None), 'num_classes', None)
    return number, ('model.head' if student is model else 'model.student.head') + '.num_classes'


def _check_sample(loader: DataLoader, model: nn.Module, key: str) -> Dict[str, Tuple[int, ...]]:
    """Shapes of a sample as the networks see it, by view; of one view, under ``'student'``."""
    with same_random_numbers():
        sample = _first(loader.dataset, key)
        if not isinstance(sample, dict) or 'inputs' not in sample or 'data_samples' not in sample:
            given = f'{sorted(sample)}' if isinstance(sample, dict) else type(sample).__name__
            raise ValueError(f'{key}.dataset.pipeline gives {given}, and not inputs and data_samples. End it with '
                             'mmpretrain.PackInputs, or PackEvents for events.')
        _check_label(sample['data_samples'], model, key)
        inputs = model.data_preprocessor(loader.collate_fn([sample]), False)['inputs']
    views = inputs if isinstance(inputs, dict) else dict(student=inputs)
    shapes = {view: tuple(tensor.shape[1:]) for view, tensor in views.items() if isinstance(tensor, torch.Tensor)}
    if 'student' in shapes:
        _check_channels(shapes['student'], model, key)
    return shapes


def _first(dataset: Any, key: str) -> Any:
    try:
        return dataset[0]
    except (OSError, ValueError, KeyError, TypeError):  # which say what they are about
        raise
    except Exception as error:  # libraries raise what they like
        raise ValueError(f'{key}.dataset.pipeline cannot make the first sample: {error or type(error).__name__}'
                         ) from error


def _check_label(sample: Any, model: nn.Module, key: str) -> None:
    label, (number, head) = sample.get('gt_label'), _outputs_of(model)
    if number and label is not None and label.numel() and not 0 <= label.max() < number:
        raise ValueError(f'{head}={number}, but the first sample of {key}.dataset has the label {int(label.max())}; '
                         'labels count from 0.')


def _check_channels(shape: Tuple[int, ...], model: nn.Module, key: str) -> None:
    student = getattr(model, 'student', model)
    first = next((module for module in student.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and len(shape) >= 3 and shape[-3] != first.in_channels:
        path = 'model' if student is model else 'model.student'
        raise ValueError(f'{path}.backbone.in_channels={first.in_channels}, but a sample of {key} has {shape[-3]} '
                         f'channels, shape {shape} after the data_preprocessor. Change either.')


def _check_views(shapes: Dict[str, Dict[str, Tuple[int, ...]]], input_shape: Any) -> None:
    """Training must give the views that validation gives, and those of ``model.input_shape``."""
    trained = shapes.get('train_dataloader')
    if trained is None:
        return
    validated = shapes.get('val_dataloader', trained)
    if [(view, shape[:-2]) for view, shape in trained.items()] != [(v, shape[:-2]) for v, shape in validated.items()]:
        raise ValueError(f'train_dataloader.dataset.pipeline gives {_described(trained)}, but '
                         f'val_dataloader.dataset.pipeline {_described(validated)}. Networks would be trained on other '
                         'inputs than they are validated on; give both the same views, time steps and channels.')
    if input_shape is not None:
        wanted = {view: tuple((input_shape.get(view) if isinstance(input_shape, dict) else input_shape) or ())
                  for view in (VIEWS if isinstance(input_shape, dict) else trained)}
        if wanted != trained:
            raise ValueError(f'model.input_shape is {_described(wanted)}, but train_dataloader.dataset.pipeline gives '
                             f'{_described(trained)}. Correct either.')


def _described(shapes: Dict[str, Tuple[int, ...]]) -> str:
    if set(shapes) == {'student'}:
        return f'one view {shapes["student"]}'
    return ' and '.join(f'{shape} for the {view}' for view, shape in shapes.items())
