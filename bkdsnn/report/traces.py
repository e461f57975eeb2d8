"""What trained networks do inside on a few test images: spikes, predictions over time, features."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..evaluation import running_scores
from ..models.distillers import Distiller
from ..models.distillers.recorder import FeatureRecorder
from ..models.layers import time_mean
from ..models.losses import BKDLoss
from ..models.losses.bkd_loss import blur_mask
from ..models.neurons.integer import binary_spikes
from ..visualization.recording import choose_layers
from .networks import inputs_of, step_logits


@dataclass
class SpikeTrace:
    """One network on the chosen images.

    Attributes:
        spikes: Neuron layer to spikes (T, N, C, H, W); of integers, (T * D, N, C, H, W).
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


@torch.no_grad()
def trace_spikes(network: nn.Module, data: dict, chosen: List[int]) -> SpikeTrace:
    """Record spikes and running predictions for the images ``chosen`` of a batch."""
    layers = choose_layers(network)
    with FeatureRecorder(network, layers) as recorder:
        logits = step_logits(network, data)
    # Units without space, as in attention, cannot be drawn.
    spikes = {path.split('.')[1]: binary_spikes(network.get_submodule(path), recorder.features[path][:, chosen]).cpu()
              for path in layers if recorder.features[path].dim() == 5}
    return SpikeTrace(spikes, running_scores(logits[:, chosen].float()).cpu())


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
    shown = [feature[chosen].cpu() for feature in (aligned, mask, restored, teacher)]
    return FeatureTrace(*shown, 1 - float(unexplained), loss.blur_ratio)


def _features(distiller: Distiller, loss: BKDLoss, data: dict) -> Tuple[Tensor, Tensor]:
    """The student's aligned feature (B, C, H, W) and the teacher's (B, C, H', W') or (B, C)."""
    views = inputs_of(distiller, data)
    with distiller.student_recorder as recorder:
        distiller.student(views['student'])
    aligned = loss.align_student(recorder.features[loss.student])
    teacher = time_mean(distiller.teach(views['teacher'])[loss.teacher])
    return aligned, loss.scale_teacher(teacher, aligned)
