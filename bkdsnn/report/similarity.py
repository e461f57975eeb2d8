"""Which layers of a student and a teacher see test images alike."""
from dataclasses import dataclass
from functools import partial
from typing import Dict, Iterable, List, Optional

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation.cka import MIN_SAMPLES, FeatureSimilarity
from ..models.distillers import Distiller
from ..models.teachers import FrozenTeacher
from .networks import inputs_of

# Fewer parts say little, more do not fit on a phone.
MIN_STAGES, MAX_STAGES = 4, 8


@dataclass
class Similarity:
    """Linear CKA of a student's stages (rows) and a teacher's (columns).

    Attributes:
        rows: Short names of the student's stages, in the order in which they run.
        columns: Of the teacher's.
        cka: (rows, columns).
        samples: Number of samples it was measured on.
    """

    rows: List[str]
    columns: List[str]
    cka: Tensor
    samples: int


def stage_paths(network: nn.Module) -> List[str]:
    """Paths of a network's parts that have weights: of its backbone (or itself) and its head; at most eight.

    Lists and sequences are split up where there would be too few parts.
    """
    trunk = 'backbone.' if isinstance(getattr(network, 'backbone', None), nn.Module) else ''
    parts = {f'{trunk}{name}': part for name, part in network.get_submodule(trunk.rstrip('.')).named_children()}
    if trunk and isinstance(getattr(network, 'head', None), nn.Module):
        parts['head'] = network.head
    parts = _split(_weighted(parts), nn.ModuleList)
    if len(parts) < MIN_STAGES:
        parts = _split(parts, nn.Sequential)
    chosen = np.unique(np.linspace(0, len(parts) - 1, min(len(parts), MAX_STAGES)).round().astype(int))
    return [list(parts)[i] for i in chosen]


def _weighted(parts: Dict[str, nn.Module]) -> Dict[str, nn.Module]:
    """Those with a matrix or a kernel among their weights, as norms have not."""
    return {path: part for path, part in parts.items() if any(p.dim() > 1 for p in part.parameters())}


def _split(parts: Dict[str, nn.Module], kind: type) -> Dict[str, nn.Module]:
    split: Dict[str, nn.Module] = {}
    for path, part in parts.items():
        split.update({f'{path}.{name}': child for name, child in part.named_children()} if isinstance(part, kind)
                     else {path: part})
    return _weighted(split)


def without_time(feature: Tensor, samples: int, steps: Optional[int]) -> Optional[Tensor]:
    """A feature (B, ...), averaged over time where it is (T, B, ...) or (T*B, ...); ``None`` if it is of no batch."""
    if steps is not None and feature.shape[:2] == (steps, samples):
        return feature.mean(0)
    if feature.shape[0] == samples:
        return feature
    if steps is not None and feature.shape[0] == steps * samples:
        return feature.unflatten(0, (steps, samples)).mean(0)
    return None


@torch.no_grad()
def stage_features(network: nn.Module, inputs: Tensor) -> Dict[str, Tensor]:
    """Features (B, ...) of a network's stages, by path and in the order in which they run, time-averaged.

    Args:
        network: In eval mode; it returns logits (T, B, K) or (B, K).
        inputs: (B, ...).
    """
    logits, features, samples = network(inputs[:1]), {}, len(inputs)
    steps = len(logits) if logits.dim() == 3 else None

    def record(path: str, module: nn.Module, arguments: tuple, output: object) -> None:
        while isinstance(output, (tuple, list)) and output:
            output = output[-1]
        feature = without_time(output, samples, steps) if isinstance(output, Tensor) and output.dim() > 1 else None
        if feature is not None:
            # The next module may work in place.
            features[path] = feature.clone() if feature.data_ptr() == output.data_ptr() else feature

    handles = [network.get_submodule(path).register_forward_hook(partial(record, path))
               for path in stage_paths(network)]
    try:
        network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return features


@torch.no_grad()
def compare_features(student: nn.Module, distiller: Distiller, batches: Iterable[dict]) -> Similarity:
    """CKA between the stages of a student and those of a distiller's teacher.

    Args:
        student: In eval mode; the distiller's or another one.
        distiller: Whose teacher is compared.
        batches: Of the distiller's data loader; those with fewer than four samples are skipped.

    Raises:
        ValueError: If there is no batch of four or more samples, or several networks teach together.
    """
    if not isinstance(distiller.teacher, FrozenTeacher):
        raise ValueError('several networks teach together, and there is no one to compare with.')
    similarity = None
    for data in batches:
        inputs, teacher = inputs_of(student, data)['student'], distiller.teacher
        mine = stage_features(student, inputs)
        theirs = stage_features(teacher.network, teacher.for_network(inputs_of(distiller, data)['teacher']))
        if similarity is None:
            similarity = FeatureSimilarity(list(mine), list(theirs))
        if len(inputs) >= MIN_SAMPLES:
            similarity.update(mine, theirs)
    if similarity is None or not similarity.samples:
        raise ValueError(f'features are compared on a batch of at least {MIN_SAMPLES} samples.')
    short = [[path.removeprefix('backbone.') for path in paths] for paths in (similarity.rows, similarity.columns)]
    return Similarity(*short, similarity.cka(), similarity.samples)
