"""What one network does with one sample at every time step: its spikes, its answer and its energy."""
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from ..evaluation import measure_synops, running_scores
from ..evaluation.energy import MAC_ENERGY
from ..models.distillers.recorder import FeatureRecorder
from ..models.neurons import SpikingNode
from ..models.neurons.integer import binary_spikes


@dataclass(frozen=True)
class Watched:
    """A network on a sample.

    Attributes:
        stages: Spikes (T, C, H, W) of the last neurons of each stage, by its name; none of an ANN.
        spikes: Spikes of all neurons at each step, (T, ).
        neurons: Number of neurons.
        scores: Class probabilities after each step, (T, K).
        energy: Of all steps, in joule.
        energy_as_ann: In joule, if the same layers multiplied in a single step.
    """

    stages: Dict[str, Tensor]
    spikes: Tensor
    neurons: int
    scores: Tensor
    energy: float
    energy_as_ann: float

    @property
    def time_steps(self) -> int:
        """T; 1 for an ANN."""
        return len(self.scores)

    @property
    def answers(self) -> List[int]:
        """The likeliest class after each step."""
        return self.scores.argmax(-1).tolist()

    @property
    def answer(self) -> int:
        """The likeliest class after the last step."""
        return self.answers[-1]

    @property
    def settled(self) -> int:
        """The step, from 1, since which the answer has not changed."""
        return settled_step(self.answers)


def settled_step(answers: List[int]) -> int:
    """The step, from 1, since which the answer is the last one."""
    others = [step for step, answer in enumerate(answers, 1) if answer != answers[-1]]
    return others[-1] + 1 if others else 1


@torch.no_grad()
def watch(network: nn.Module, inputs: Tensor, time_steps: Optional[int] = None) -> Watched:
    """Run a network on one sample and keep what it did.

    Args:
        network: Spiking network or ANN in eval mode.
        inputs: Preprocessed image (1, C, H, W) or event frames (1, T, P, H, W).
        time_steps: How long a spiking network is shown an image; ``None`` is the T it was trained with. Frames bring
            their own.
    """
    nodes = {path: module for path, module in network.named_modules() if isinstance(module, SpikingNode)}
    with shown_for(network, time_steps):
        with FeatureRecorder(network, list(nodes)) as recorder:
            logits = network(inputs)
        spikes = {path: binary_spikes(node, recorder.features[path])[:, 0] for path, node in nodes.items()}
        energy = measure_synops(network, [inputs]).energy
    with shown_for(network, 1):
        macs = measure_synops(network, [inputs[:, :1] if inputs.dim() == 5 else inputs]).macs
    logits = logits if logits.dim() == 3 else logits.unsqueeze(0)
    # Of integers that are unfolded, all of a time step.
    counts = torch.zeros(len(logits)) + sum(x.flatten(1).sum(1).view(len(logits), -1).sum(1) for x in spikes.values())
    return Watched(last_of_stages(spikes), counts, sum(x[0].numel() for x in spikes.values()),
                   running_scores(logits)[:, 0], energy, MAC_ENERGY * macs)


@contextmanager
def shown_for(network: nn.Module, time_steps: Optional[int]):
    """Let a network show images for so many steps inside the block."""
    trained = getattr(network.backbone, 'T', None)
    if time_steps is None or trained is None:
        yield
        return
    network.backbone.T = time_steps
    try:
        yield
    finally:
        network.backbone.T = trained


def last_of_stages(spikes: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """The last entry of each stage, such as ``'layer1'``, that has channels and space; shortcuts do not count."""
    return {path.split('.')[1]: x for path, x in spikes.items() if 'downsample' not in path and x.dim() == 4}
