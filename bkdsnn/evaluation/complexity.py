"""Parameters and multiply-accumulate operations, counted without computing anything."""
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from bkdsnn.config.data import pipeline_in
from bkdsnn.config.networks import model_config, student_config
from bkdsnn.models.neurons import SpikingNode
from bkdsnn.models.teachers.sources import resizing_of
from bkdsnn.registry import MODELS


@dataclass(frozen=True)
class Complexity:
    """Size and work of a network.

    Attributes:
        parameters: Number of trainable numbers.
        macs: Multiply-accumulate operations of convolutions, linear layers and attention for one sample in all time
            steps. A spiking layer accumulates only where its input spikes, so its synaptic operations are at most
            these: firing rate times MACs. Neurons count as nothing, parallel ones too.
    """

    parameters: int
    macs: int


def input_shape_of(cfg: Config) -> Optional[Tuple[int, ...]]:
    """Shape of one sample of the student: of the model, the event views or the images, or from the test pipeline.

    Returns:
        (C, H, W) or (T, P, H, W); ``None`` where the config does not say.
    """
    shape = cfg.model.get('input_shape') or cfg.get('views_shape') or cfg.get('image_shape')
    if shape is not None:
        return tuple(shape['student'] if isinstance(shape, dict) else shape)
    size, _ = resizing_of(pipeline_in(cfg.test_dataloader.dataset))
    return None if size is None else (3, *size)


def measure_complexity(cfg: Config, shape: Sequence[int]) -> Complexity:
    """Count for the network of a config, of a distillation config for its student.

    Args:
        cfg: Config with a ``model``.
        shape: Of one sample, (C, H, W) or (T, P, H, W).
    """
    model_cfg = dict(student_config(model_config(cfg)))
    if model_cfg.get('pretrained'):
        model_cfg['pretrained'] = False
    # On the meta device tensors have shapes and no values.
    with DefaultScope.overwrite_default_scope('bkdsnn'), FlopCounterMode(display=False) as counter:
        try:
            with torch.device('meta'):
                model = MODELS.build(model_cfg)
        except RuntimeError:  # some networks need values while they are built, such as mmpretrain's ResNet
            model = MODELS.build(model_cfg).to('meta')
        with torch.no_grad():
            model.eval()(torch.empty(1, *shape, device='meta'))
    counts = counter.get_flop_counts()
    of_neurons = sum(sum(counts.get(f'{type(model).__name__}.{path}', {}).values())
                     for path, module in model.named_modules() if isinstance(module, SpikingNode))
    return Complexity(sum(p.numel() for p in model.parameters()), (counter.get_total_flops() - of_neurons) // 2)
