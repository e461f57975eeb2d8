"""Firing rates and energy of students against their teacher."""
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional

from torch import nn

from ..evaluation import NetworkCost, measure_synops
from ..models.distillers import Distiller
from ..models.teachers import FrozenTeacher
from .networks import inputs_of


@dataclass
class Costs:
    """Cost of one prediction, mean over test samples.

    Attributes:
        students: By name.
        teacher: ``None`` where there is no teacher.
        samples: How many were measured.
    """

    students: Dict[str, NetworkCost]
    teacher: Optional[NetworkCost]
    samples: int


def measure_costs(students: Mapping[str, nn.Module], distiller: Optional[Distiller], batches: Iterable[dict],
                  track: Callable[[Iterable, str], Iterable] = lambda items, title: items) -> Costs:
    """Count operations and spikes.

    Args:
        students: In eval mode, by name.
        distiller: Whose teacher is measured, if there is one.
        batches: Of the distiller's data loader, or of the students'.
        track: Wraps the batches, with a title, to show progress.
    """
    def measure(name: str, network: nn.Module, inputs: Callable) -> NetworkCost:
        return measure_synops(network, map(inputs, track(batches, f'Counting operations of {name}')))

    costs = {name: measure(name, network, lambda data, network=network: inputs_of(network, data)['student'])
             for name, network in students.items()}
    teacher = None
    if distiller is not None and isinstance(distiller.teacher, FrozenTeacher):
        teacher = measure('the teacher', distiller.teacher.network,
                          lambda data: distiller.teacher.for_network(inputs_of(distiller, data)['teacher']))
    found = [*costs.values(), *([] if teacher is None else [teacher])]
    return Costs(costs, teacher, max((cost.samples for cost in found), default=0))
