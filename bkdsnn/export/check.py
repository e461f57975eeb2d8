"""Whether an exported network does what the student does.

Two programs add numbers up in different orders, so that a membrane which comes within rounding of its threshold may
fire in one and not in the other, after which their logits differ for good. Where logits differ, the student is run
again on the exported network's own spikes. Each of its neurons then gets the same input as there: it must want the same
spikes, but for membranes at their threshold, and the logits must be equal.
"""
import copy
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from .deployed import Deployed, InferenceNode

# How far from its threshold rounding in single precision can move a membrane.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Runner:
    """An exported network that can be run.

    Attributes:
        logits: From inputs to logits (T, B, K).
        spikes: From inputs and the student's spikes (T, B, ...), by the path of each neuron in the order in which they
            run, to those of the exported network; ``None`` if they cannot be seen.
        dtype: What it computes with.
    """

    logits: Callable[[Tensor], Tensor]
    spikes: Optional[Callable[[Tensor, Dict[str, Tensor]], Dict[str, Tensor]]] = None
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Check:
    """What a check has found.

    Attributes:
        samples: How many were run.
        firing_rate: Share of spikes among all neurons and steps, from 0 to 1.
        difference: The largest between logits, with equal spikes.
        flips: Spikes that rounding has decided otherwise; each changes what comes after it.
        distance: From its threshold, of the farthest membrane of these.
        difference_with_flips: The largest between logits of the two networks, each with its own spikes.
    """

    samples: int
    firing_rate: float
    difference: float
    flips: int = 0
    distance: float = 0.0
    difference_with_flips: float = 0.0

    def __str__(self) -> str:
        text = f'logits differ by at most {self.difference:.2g}'
        if self.flips:
            text += (f' for equal spikes; rounding decides {self.flips} spikes otherwise, at membranes within '
                     f'{self.distance:.2g} of the threshold, after which logits differ by up to '
                     f'{self.difference_with_flips:.2g}')
        silent = '' if self.firing_rate else ', so that little is checked'
        return f'{text}. {100 * self.firing_rate:.1f} % of the neurons fire in a time step{silent}'


class DiffersError(ValueError):
    """An exported network does not do what the student does."""


@torch.no_grad()
def check(deployed: Deployed, runner: Runner, inputs: Tensor, tolerance: float = 1e-5) -> Check:
    """Compare an exported network with the student.

    Args:
        deployed: The student.
        runner: The exported network.
        inputs: Images (B, C, H, W) or frames (B, T, P, H, W).
        tolerance: Largest difference of logits, absolute and relative to them.

    Raises:
        DiffersError: If it is exceeded for other reasons than rounding.
    """
    student, inputs = copy.deepcopy(deployed).to(runner.dtype), inputs.to(runner.dtype)
    want, spikes = _run_and_record(student, inputs)
    firing_rate = sum(s.sum().item() for s in spikes.values()) / max(1, sum(s.numel() for s in spikes.values()))
    got = runner.logits(inputs)
    if got.shape != want.shape:
        raise DiffersError(f'the exported network gives logits {tuple(got.shape)}, the student {tuple(want.shape)}.')
    difference = (got - want).abs().max().item()
    if torch.allclose(got, want, rtol=tolerance, atol=tolerance):
        return Check(len(inputs), firing_rate, difference)
    comparable = all(isinstance(student.model.get_submodule(path), InferenceNode) for path in spikes)
    if runner.spikes is None or not comparable:
        raise DiffersError(f'the logits of the exported network differ by {difference:.2g} from those of the student.')
    forced = _force(student, runner.spikes(inputs, spikes))
    want = student.logits(inputs)
    flips, distance = sum(node.flips for node in forced), max((node.distance for node in forced), default=0.0)
    with_equal_spikes = (got - want).abs().max().item()
    if distance > ROUNDING or not torch.allclose(got, want, rtol=tolerance, atol=tolerance):
        raise DiffersError(
            f'the logits of the exported network differ by {difference:.2g} from those of the student, and by '
            f'{with_equal_spikes:.2g} for equal spikes; {flips} spikes differ, at membranes up to {distance:.2g} from '
            'the threshold, which is more than rounding.')
    return Check(len(inputs), firing_rate, with_equal_spikes, flips, distance, difference)


class _ForcedNode(InferenceNode):
    """A neuron that fires as it is told to, and counts where it would not."""

    def __init__(self, node: nn.Module, spikes: Tensor) -> None:
        super().__init__(node)
        self.spikes, self.flips, self.distance = spikes.bool(), 0, 0.0

    def fires(self, h: Tensor, t: int) -> Tensor:
        told = self.spikes[t]
        flipped = super().fires(h, t) != told
        if flipped.any():
            self.flips += int(flipped.sum())
            self.distance = max(self.distance, (h - self.node.v_threshold)[flipped].abs().max().item())
        return told


def _force(student: Deployed, spikes: Dict[str, Tensor]) -> List[_ForcedNode]:
    forced = []
    for path, told in spikes.items():
        forced.append(_ForcedNode(student.model.get_submodule(path).node, told))
        student.model.set_submodule(path, forced[-1])
    return forced


def _run_and_record(student: Deployed, inputs: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
    """Logits, and the spikes of each neuron by its path, in the order in which they run."""
    spikes: Dict[str, Tensor] = {}

    def record(path: str) -> Callable:
        return lambda module, args, output: spikes.update({path: output})

    handles = [student.model.get_submodule(path).register_forward_hook(record(path)) for path in student.neurons]
    logits = student.logits(inputs)
    for handle in handles:
        handle.remove()
    return logits, spikes
