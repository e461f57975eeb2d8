"""Firing rates and energy of students against their teacher."""
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional

from torch import nn

from ...evaluation.energy import NetworkCost
from ...evaluation.synops import measure_synops
from ...models.distillers import Distiller
from .networks import inputs_of

SAMPLES = 64


@dataclass
class Costs:
    """Cost of one prediction, mean over ``samples`` test samples; by name of the student, and of the teacher."""

    students: Dict[str, NetworkCost]
    teacher: Optional[NetworkCost]
    samples: int


def measure_costs(students: Mapping[str, nn.Module], distiller: Optional[Distiller], data: dict,
                  track: Callable[[Iterable, str], Iterable] = lambda items, title: items) -> Costs:
    """Count operations and spikes on the first samples of a batch.

    Args:
        students: In eval mode, by name.
        distiller: Whose teacher is measured, if there is one.
        data: Batch of the distiller's data loader, or of the students'.
        track: Wraps the networks, with a title, to show progress.
    """
    networks = {name: (network, inputs_of(network, data)['student']) for name, network in students.items()}
    if distiller is not None:
        teacher = distiller.teacher
        networks[None] = teacher.network, teacher.prepare(inputs_of(distiller, data)['teacher'])
    costs = {name: measure_synops(network, [inputs[:SAMPLES]])
             for name, (network, inputs) in track(list(networks.items()), 'Counting operations')}
    return Costs(costs, costs.pop(None, None), min(SAMPLES, len(data['data_samples'])))
