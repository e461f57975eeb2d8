"""The networks of a report and the data they are tried on."""
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from ..apis.evaluate import build_loader
from ..apis.model import init_model
from ..checkpoints.files import load_file
from ..checkpoints.weights import fit_weights, state_dict_in
from ..config.networks import model_config, teacher_configs
from ..models.distillers import Distiller
from ..models.distillers.distiller import views_of
from ..models.neurons import SpikingNode
from ..registry import MODELS
from ..runs.folders import Run, config_in


@dataclass
class Data:
    """One data set of a run's config.

    Attributes:
        loader: Batches of its samples.
        indices: Of its samples in the whole set, as it may be a part.
        classes: Class names, by index; empty where the data set does not say.
        config: Of the data loader.
    """

    loader: DataLoader
    indices: List[int]
    classes: List[str]
    config: dict

    @classmethod
    def of(cls, run: Run, split: str = 'test') -> 'Data':
        """Open all of a data set: ``'train'``, ``'val'`` or ``'test'``.

        Raises:
            ValueError: If the config names no such data.
        """
        loader = build_loader(run.config, split)
        classes = list(map(str, loader.dataset.metainfo.get('classes') or []))
        return cls(loader, list(range(len(loader.dataset))), classes, run.config[f'{split}_dataloader'])

    def spread(self, samples: int) -> 'Data':
        """At most so many of its samples, spread evenly."""
        if len(self) <= samples:
            return self
        indices = np.linspace(0, len(self) - 1, samples).round().astype(int).tolist()
        config = dict(copy.deepcopy(self.config), dataset=Subset(self.loader.dataset, indices))
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            loader = Runner.build_dataloader(config)
        return Data(loader, [self.indices[i] for i in indices], self.classes, self.config)

    def __len__(self) -> int:
        return len(self.indices)

    def name_of(self, label: int) -> str:
        """Name of a class, or its index."""
        return self.classes[label] if label < len(self.classes) else str(label)


def load_student(run: Run, device: str = 'cpu') -> nn.Module:
    """The trained student of a run, in eval mode."""
    return uncompiled(init_model(copy.deepcopy(run.config), str(run.checkpoint), device))


def load_distiller(run: Run, device: str = 'cpu') -> Distiller:
    """Student, teacher and losses of a distillation run with their trained weights, in eval mode.

    Raises:
        FileNotFoundError: If the teacher's weights are neither where the run found them nor near its folder.
    """
    config = model_config(run.config)
    for teacher in teacher_configs(config.teacher):
        _find_teacher(teacher, run.folder)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        distiller = MODELS.build(config)
        distiller.learn_channel_order(run.config)
    fit_weights(distiller, state_dict_in(load_file(str(run.checkpoint))), f'checkpoint {str(run.checkpoint)!r}')
    return uncompiled(distiller.to(device).eval())


def uncompiled(network: nn.Module) -> nn.Module:
    """Let a network's neurons run eagerly: for a few batches, compiling them would take longer than it saves."""
    for module in network.modules():
        if isinstance(module, SpikingNode):
            module.backend = 'eager'
    return network


def inputs_of(network: nn.Module, data: dict) -> Dict[str, Tensor]:
    """What a network's data preprocessor makes of a batch of the data loader, for ``student`` and ``teacher``."""
    return views_of(network.data_preprocessor(copy.deepcopy(data), False)['inputs'])


@torch.no_grad()
def step_logits(network: nn.Module, data: dict) -> Tensor:
    """Logits (T, B, K) of each time step for a batch of the data loader; of an ANN (1, B, K).

    Raises:
        ValueError: If the network does not classify.
    """
    logits = network(inputs_of(network, data)['student'])
    if logits.dim() not in (2, 3):
        raise ValueError(f'a report is about classification, but for a batch the network gives {tuple(logits.shape)}, '
                         'not logits (T, B, K).')
    return logits.unsqueeze(0) if logits.dim() == 2 else logits


@torch.no_grad()
def teacher_logits(distiller: Distiller, data: dict) -> Tensor:
    """The teacher's logits (1, B, K) for a batch of the distiller's data loader."""
    return distiller.teacher(inputs_of(distiller, data)['teacher']).unsqueeze(0)


def _find_teacher(teacher: ConfigDict, folder: Path) -> None:
    """Replace paths of a teacher's config that are no more by those of the same name near a run's folder."""
    stated = str(teacher.get('checkpoint') or '')
    wanted = Path(stated)
    if stated not in ('', 'pretrained') and '://' not in stated and not wanted.exists():
        found = [parent / name for parent in folder.absolute().parents for name in (wanted, wanted.name)]
        teacher.checkpoint = str(next(filter(Path.exists, found), wanted))
    model = teacher.get('model')
    if isinstance(model, str) and model.endswith('.py') and not Path(model).exists():
        # A work directory keeps the config of its network.
        teacher.model = str(config_in(Path(str(teacher.get('checkpoint')))) or model)
