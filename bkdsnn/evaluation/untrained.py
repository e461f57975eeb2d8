"""What a config trains, built without weights or a GPU, and the shape of its data."""
from contextlib import contextmanager
from typing import Dict, Tuple, Union

from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bkdsnn.config.data import pipeline_in
from bkdsnn.config.networks import model_config
from bkdsnn.config.sharded_optimizer import unsharded
from bkdsnn.models.layers.norm import CPUSyncBatchNorm2d
from bkdsnn.models.teachers.sources import find_network
from bkdsnn.registry import MODELS

from .complexity import input_shape_of

Shape = Tuple[int, ...]


def training_shape(cfg: Config) -> Union[Shape, Dict[str, Shape], None]:
    """Shape of one sample in training, or of its views for student and teacher; ``None`` where the config is silent."""
    views = cfg.model.get('input_shape')
    if isinstance(views, dict):
        return {name: tuple(shape) for name, shape in views.items()}
    shape = input_shape_of(cfg)
    steps = pipeline_in((cfg.get('train_dataloader') or {}).get('dataset') or {})
    frames = [step['time_steps'] for step in steps if str(step.get('type')).rpartition('.')[2] == 'EventsToFrames']
    return (frames[0], *shape[1:]) if frames and shape is not None and len(shape) == 4 else shape


def build_untrained(cfg: Config) -> nn.Module:
    """The model that a config trains, with random weights; of a distillation config, the teacher's are random too."""
    model = model_config(cfg)
    if model.get('pretrained'):
        model['pretrained'] = False
    if model.get('teacher') is not None:
        model['teacher'] = _untrained_teacher(model['teacher'])
    return MODELS.build(model)


def _untrained_teacher(cfg: dict) -> nn.Module:
    if 'teachers' in cfg:
        untrained = {name: _untrained_teacher(one) for name, one in cfg['teachers'].items()}
        return MODELS.build(dict(cfg, teachers=untrained))
    teacher = {key: value for key, value in cfg.items() if key != 'compile'}  # there would be nothing to run
    source = find_network(teacher['model'], pretrained=False)
    found = {name: value for name, value in vars(source).items() if name != 'network' and value is not None}
    return MODELS.build({**found, **teacher, 'model': source.network, 'checkpoint': None})


def is_mixed(optim_wrapper: dict) -> bool:
    """Whether an ``optim_wrapper`` trains in mixed precision, on a device that is made for it."""
    return str(optim_wrapper.get('type')).rpartition('.')[2] == 'AmpOptimWrapper'


def build_wrapper(model: nn.Module, cfg: dict) -> OptimWrapper:
    """The optimizer of a config in one process, and in a plain wrapper: this machine may lack the half precision."""
    if is_mixed(cfg):
        cfg = {key: value for key, value in cfg.items() if key not in ('loss_scale', 'dtype', 'use_fsdp')}
        cfg['type'] = 'OptimWrapper'
    return build_optim_wrapper(model, dict(cfg, optimizer=unsharded(cfg['optimizer'])))


@contextmanager
def norms_apart(model: nn.Module, all_norms: bool):
    """Inside the block, norms over several processes, or all, are not fused with neurons, as in a run of several.

    They have listeners, which a fused norm would not call.
    """
    kinds = _BatchNorm if all_norms else (nn.SyncBatchNorm, CPUSyncBatchNorm2d)
    handles = [module.register_forward_hook(lambda *_: None) for module in model.modules() if isinstance(module, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
