"""Where a teacher network comes from: a config, a model zoo, or an import path."""
import copy
import importlib
import os.path as osp
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn

from bkdsnn.checkpoints.classes import classes_in
from bkdsnn.checkpoints.files import load_weights
from bkdsnn.checkpoints.weights import not_finite, some_of
from bkdsnn.config.data import pipeline_in
from bkdsnn.config.files import read_config_file
from bkdsnn.config.networks import way_to_weights
from bkdsnn.registry import MODELS
from bkdsnn.utils.colours import channel_order_of
from bkdsnn.utils.names import suggestion

LIBRARY_WEIGHTS = 'pretrained'
INTERPOLATIONS = ('bicubic', 'bilinear', 'nearest')
# Resizing transforms of mmpretrain's pipelines, with their default interpolation.
RESIZES = dict(Resize='bilinear', ResizeEdge='bilinear', EfficientNetCenterCrop='bicubic')


@dataclass
class TeacherSource:
    """A built network, the input it was made for, and what its checkpoint says of its classes.

    ``mean`` and ``std`` are per channel on the scale 0 to 255, ``None`` where the source does not say.
    """

    network: nn.Module
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    to_rgb: Optional[bool] = None
    input_size: Optional[Sequence[int]] = None
    interpolation: Optional[str] = None
    dataset_meta: Optional[dict] = None


def build_teacher(model: Union[str, dict, nn.Module], checkpoint: Optional[str]) -> TeacherSource:
    """Build the teacher's network with its weights.

    Args:
        model: A network; a model config (``dict(type=...)``); the path of a config file; ``'timm/NAME'``,
            ``'torchvision/NAME'``, both with ``.TAG`` where there are several weights; the name of an mmpretrain model;
            or the import path ``'package.module:factory'`` of a function or class without required arguments.
        checkpoint: File (PyTorch's or ``.safetensors``), URL or work directory with its weights; ``'pretrained'`` for
            the library's own; ``None`` only for a network given as such.

    Raises:
        ValueError: If the teacher would be left with random weights, does not fit its checkpoint, or is not finite.
        FileNotFoundError: If the checkpoint is missing.
    """
    if checkpoint is None and not isinstance(model, nn.Module):
        raise ValueError(f'FrozenTeacher: no checkpoint for model={model!r}, so the teacher would be random. Set '
                         f'model.teacher.checkpoint to a file, URL or work directory, or to {LIBRARY_WEIGHTS!r} for '
                         "the library's own weights.")
    source = find_network(model, checkpoint == LIBRARY_WEIGHTS)
    if checkpoint not in (None, LIBRARY_WEIGHTS):
        loaded = load_weights(source.network, checkpoint, way_to_weights(model))
        source.dataset_meta = loaded.get('meta', {}).get('dataset_meta')
        classes_in(source.dataset_meta, f'model.teacher.checkpoint={checkpoint!r}')
    elif checkpoint == LIBRARY_WEIGHTS and not getattr(source.network, '_has_library_weights', False):
        raise ValueError(f'FrozenTeacher: checkpoint={LIBRARY_WEIGHTS!r} needs a model zoo, but model={model!r} is not '
                         'from one. Give a file, URL or work directory.')
    if isinstance(model, nn.Module) and (damaged := not_finite(dict(model.named_parameters()))):
        raise ValueError(f'FrozenTeacher: the {type(model).__name__} has weights that are not finite: '
                         f'{some_of(damaged)}.')
    return source


def find_network(model: Union[str, dict, nn.Module], pretrained: bool) -> TeacherSource:
    """Build the teacher's network, with random weights unless a model zoo has ``pretrained`` ones; else as above."""
    if isinstance(model, nn.Module):
        return TeacherSource(model)
    if isinstance(model, dict):
        return _from_config(Config(dict(model=model)))
    if model.endswith('.py'):
        if not osp.isfile(model):
            raise FileNotFoundError(f'FrozenTeacher: the config model={model!r} does not exist (model.teacher.model).')
        return _from_config(read_config_file(model))
    if model.startswith('timm/'):
        return _from_timm(model[len('timm/'):], pretrained)
    if model.startswith('torchvision/'):
        return _from_torchvision(model[len('torchvision/'):], pretrained)
    if ':' in model:
        return TeacherSource(_import(model)())
    return _from_mmpretrain(model, pretrained)


def _from_config(cfg: Config) -> TeacherSource:
    model = copy.deepcopy(cfg.model)
    for part in (model, model.get('backbone') or {}):
        if part.get('pretrained'):
            # The checkpoint has all weights, so there is nothing to download.
            part['pretrained'] = False
    return TeacherSource(MODELS.build(model), **preprocessing_of(cfg))


def preprocessing_of(cfg: Config) -> dict:
    """What a config says of the network's input: its data preprocessor, and the resizing of its test pipeline.

    What it does not say is ``None``: of a network alone, the order of colours too.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    dataset = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    order = preprocessor.get('channel_order') or channel_order_of(dataset, cfg.get('default_scope'))
    input_size, interpolation = resizing_of(pipeline_in(dataset))
    to_rgb = (order == 'rgb') != preprocessor.get('to_rgb', False) if preprocessor or dataset else None
    return dict(mean=preprocessor.get('mean'), std=preprocessor.get('std'), to_rgb=to_rgb, input_size=input_size,
                interpolation=interpolation)


def resizing_of(pipeline: Sequence[dict]) -> Tuple[Optional[Tuple[int, int]], Optional[str]]:
    """(H, W) after a test pipeline and how it resizes, each ``None`` where it does not."""
    steps = [(str(step.get('type')).rpartition('.')[2], step) for step in pipeline]
    resizes = [(name, step) for name, step in steps if name in RESIZES]
    sizes = [step['crop_size'] for _, step in steps if step.get('crop_size')] or [
        step['scale'] for _, step in resizes if step.get('scale')]
    if not sizes:
        return None, None
    width, height = (sizes[-1], sizes[-1]) if isinstance(sizes[-1], int) else sizes[-1]
    # The first one changes the image most.
    interpolation = resizes[0][1].get('interpolation', RESIZES[resizes[0][0]]) if resizes else None
    return (height, width), interpolation if interpolation in INTERPOLATIONS else None


@contextmanager
def names_way_out(source: str, pretrained: bool) -> Iterator[None]:
    """Have an error of a download say what was to come from where, and which option takes a file instead.

    Libraries try for a minute, so that the log says before what they are at.
    """
    if pretrained:
        print_log(f'model.teacher.checkpoint={LIBRARY_WEIGHTS!r}: taking the weights of {source}, downloaded once.',
                  logger='current')
    try:
        yield
    except OSError as error:
        if not pretrained:
            raise
        raise OSError(f'model.teacher.checkpoint={LIBRARY_WEIGHTS!r}: the weights of {source}, cannot be had: '
                      f'{str(error).rstrip(".")}. {way_to_weights(None)}') from error


def _from_mmpretrain(name: str, pretrained: bool) -> TeacherSource:
    import mmpretrain  # heavy, and only for such a teacher
    if not mmpretrain.list_models(name):
        raise ValueError(f"FrozenTeacher: model={name!r} is neither a config file (.py), nor 'timm/NAME', "
                         "'torchvision/NAME', 'package.module:factory', nor a model of mmpretrain "
                         '(mmpretrain.list_models() lists them).')
    with names_way_out(f'model={name!r} of mmpretrain', pretrained):
        network = mmpretrain.get_model(name, pretrained=pretrained)
    network._has_library_weights = pretrained
    return TeacherSource(network, **preprocessing_of(network._config))


def _from_timm(name: str, pretrained: bool) -> TeacherSource:
    import timm  # likewise
    if not timm.is_model(name):
        raise ValueError(f"FrozenTeacher: model='timm/{name}' is unknown to timm (model.teacher.model)."
                         f'{suggestion(name, timm.list_models())}')
    try:
        known = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # of a tag
        raise ValueError(f"FrozenTeacher: model='timm/{name}': {error} (model.teacher.model)") from error
    url = known and (f'https://huggingface.co/{known.hf_hub_id}' if known.hf_hub_id else known.url)
    with names_way_out(f"model='timm/{name}', {url or 'without a known URL'}", pretrained):
        network = timm.create_model(name, pretrained=pretrained)
    network._has_library_weights = pretrained
    cfg = timm.data.resolve_model_data_config(network)
    return TeacherSource(network, [255 * m for m in cfg['mean']], [255 * s for s in cfg['std']], True,
                         cfg['input_size'][1:], cfg['interpolation'])


def _from_torchvision(name: str, pretrained: bool) -> TeacherSource:
    import torchvision  # likewise
    name, _, tag = name.partition('.')
    entries = torchvision.models.get_model_weights(name)
    if tag and tag not in entries.__members__:
        raise ValueError(f"FrozenTeacher: model='torchvision/{name}.{tag}' is unknown; torchvision's weights of {name} "
                         f'are {", ".join(entry.name for entry in entries)}.')
    weights = entries[tag] if tag else entries.DEFAULT
    with names_way_out(f"model='torchvision/{name}', {weights.url}", pretrained):
        network = torchvision.models.get_model(name, weights=weights if pretrained else None)
    network._has_library_weights = pretrained
    preset = weights.transforms()
    size = list(preset.crop_size) * (2 if len(preset.crop_size) == 1 else 1)
    return TeacherSource(network, [255 * m for m in preset.mean], [255 * s for s in preset.std], True, size,
                         preset.interpolation.value)


def _import(path: str):
    module, _, name = path.partition(':')
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f'FrozenTeacher: model={path!r} cannot be imported: {error}.') from error
