"""What trained networks do on a few test images: spikes, predictions over time, features."""
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from ..apis.model import init_model
from ..models.distillers import Distiller
from ..models.distillers.recorder import FeatureRecorder
from ..models.layers import time_mean
from ..models.losses import BKDLoss
from ..models.losses.bkd_loss import blur_mask
from ..models.neurons.nodes import BaseNode
from ..registry import MODELS
from ..utils.checkpoint import load_file
from ..utils.runs import Run


@dataclass
class TestBatch:
    """The first batch of the test data.

    Attributes:
        data: As the data loader gives it, for a data preprocessor.
        images: Images (B, C, H, W) as they were read.
        labels: Class indices, shape (B, ).
        classes: Class names, by index.
    """

    __test__ = False  # not for pytest

    data: dict
    images: Tensor
    labels: Tensor
    classes: List[str]

    @classmethod
    def of(cls, run: Run) -> 'TestBatch':
        """The first test batch of a run's config."""
        loader_config = copy.deepcopy(run.config.test_dataloader)
        loader_config.update(num_workers=0, persistent_workers=False)
        with DefaultScope.overwrite_default_scope('bkdsnn'):
            loader = Runner.build_dataloader(loader_config)
        data = next(iter(loader))
        images = torch.stack(list(data['inputs']))
        if images.dim() == 5:  # event frames (B, T, P, H, W): all events of a pixel
            images = images.float().sum((1, 2)).unsqueeze(1)
        labels = torch.cat([sample.gt_label for sample in data['data_samples']])
        names = loader.dataset.metainfo.get('classes')
        return cls(data, images, labels, [str(name) for name in names or range(int(labels.max()) + 1)])


@dataclass
class SpikeTrace:
    """One network on the chosen images.

    Attributes:
        spikes: Neuron layer to spikes (T, N, C, H, W).
        scores: Class probabilities (T, N, K) of the mean logits of steps 1 to t.
    """

    spikes: Dict[str, Tensor]
    scores: Tensor


@dataclass
class FeatureTrace:
    """Features of the chosen images, each (N, C, H, W) in the teacher's channels.

    Attributes:
        student: The student's time mean, aligned.
        mask: Which channels are kept, shape (N, C, 1, 1).
        restored: What the restoration block makes of the blurred ones.
        teacher: The teacher's.
        explained: Share of the teacher's variance over the whole batch that the restored features have; 0 is as good
            as the mean teacher feature, 1 is perfect.
        blur_ratio: Probability of a channel to be zeroed.
    """

    student: Tensor
    mask: Tensor
    restored: Tensor
    teacher: Tensor
    explained: float
    blur_ratio: float


def choose_layers(network: nn.Module) -> List[str]:
    """Path of the last neuron of each stage, such as ``'backbone.layer1.0.unit2.neuron'``; shortcuts do not count."""
    stages: Dict[str, str] = {}
    for path, module in network.named_modules():
        if isinstance(module, BaseNode) and 'downsample' not in path:
            stages['.'.join(path.split('.')[:2])] = path
    return list(stages.values())


@torch.no_grad()
def predict(network: nn.Module, data: dict) -> Tensor:
    """Class indices (B, ) for a batch of the data loader."""
    return _logits(network, data).mean(0).argmax(-1)


@torch.no_grad()
def trace_spikes(network: nn.Module, data: dict, chosen: List[int]) -> SpikeTrace:
    """Record spikes and running predictions for the images ``chosen`` of a batch."""
    layers = choose_layers(network)
    with FeatureRecorder(network, layers) as recorder:
        logits = _logits(network, data)
    # Units without space, as in attention, cannot be drawn.
    spikes = {path.split('.')[1]: recorder.features[path][:, chosen] for path in layers
              if recorder.features[path].dim() == 5}
    steps = torch.arange(1, len(logits) + 1).view(-1, 1, 1)
    return SpikeTrace(spikes, (logits[:, chosen].cumsum(0) / steps).softmax(-1))


def _logits(network: nn.Module, data: dict) -> Tensor:
    """Logits (T, B, K)."""
    inputs = network.data_preprocessor(copy.deepcopy(data), False)['inputs']
    logits = network(inputs)
    return logits.unsqueeze(0) if logits.dim() == 2 else logits


def load_student(run: Run) -> nn.Module:
    """The trained student of a run, in eval mode."""
    return init_model(copy.deepcopy(run.config), str(run.checkpoint))


def load_distiller(run: Run, teacher_folder: Path) -> Distiller:
    """Student, teacher and losses of a distillation run with their trained weights, in eval mode.

    Args:
        run: The run.
        teacher_folder: Where to look for the teacher's work directory if it is not where the run found it.
    """
    config = copy.deepcopy(run.config.model)
    # As mmengine's runner does; without it, the input would not be normalised.
    if run.config.get('data_preprocessor') is not None:
        config.setdefault('data_preprocessor', copy.deepcopy(run.config.data_preprocessor))
    wanted = Path(str(config.teacher.checkpoint))
    if not wanted.exists() and wanted.name == teacher_folder.name and teacher_folder.is_dir():
        config.teacher.checkpoint = str(teacher_folder)
    with DefaultScope.overwrite_default_scope('bkdsnn'):
        distiller = MODELS.build(config)
    distiller.load_state_dict(load_file(str(run.checkpoint))['state_dict'], strict=True)
    return distiller.eval()


@torch.no_grad()
def trace_features(distiller: Distiller, data: dict, chosen: List[int], seed: int = 0) -> Optional[FeatureTrace]:
    """Follow the features through blurring and restoring; ``None`` without a :class:`BKDLoss`.

    Args:
        distiller: In eval mode.
        data: Batch of the data loader.
        chosen: Indices of the images to keep.
        seed: Of the mask.
    """
    loss = next((loss for loss in distiller.losses.values() if isinstance(loss, BKDLoss)), None)
    if loss is None:
        return None
    aligned, teacher = _features(distiller, loss, data)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mask = blur_mask(aligned, loss.blur_ratio)
    restored = loss.restore(loss.blur(aligned, mask))
    if teacher.dim() == 2:
        restored, teacher = restored.mean((-2, -1), keepdim=True), teacher[..., None, None]
    elif restored.shape[-2:] != teacher.shape[-2:]:
        restored, teacher = loss.match_size(restored, teacher, aligned)
    unexplained = (restored - teacher).square().sum() / (teacher - teacher.mean(0)).square().sum()
    return FeatureTrace(aligned[chosen], mask[chosen], restored[chosen], teacher[chosen],
                        1 - float(unexplained), loss.blur_ratio)


def _features(distiller: Distiller, loss: BKDLoss, data: dict) -> Tuple[Tensor, Tensor]:
    """The student's aligned feature (B, C, H, W) and the teacher's (B, C, H', W') or (B, C)."""
    inputs = distiller.data_preprocessor(copy.deepcopy(data), False)['inputs']
    views = inputs if isinstance(inputs, dict) else dict(student=inputs, teacher=inputs)
    with distiller.student_recorder, distiller.teacher_recorder:
        distiller.student(views['student'])
        distiller.teacher(views['teacher'])
    aligned = loss.align_student(distiller.student_recorder.features[loss.student])
    teacher = time_mean(distiller.teacher_recorder.features[loss.teacher])
    if loss.rescale:
        teacher = teacher * (aligned.amax() / teacher.amax())
    return aligned, teacher
