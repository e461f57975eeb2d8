"""Students as NIR graphs (Neuromorphic Intermediate Representation, Pedersen et al., 2024, arXiv 2311.14641)."""
import io
from typing import TYPE_CHECKING, Dict, Sequence

import torch
from torch import Tensor

from ..utils.optional import require
from ..version import __version__
from .check import Runner
from .deployed import Deployed
from .nir_torch import NIRNeuron, from_nir, run_nir
from .nir_trace import trace

if TYPE_CHECKING:
    import nir


def to_nir(deployed: Deployed, shape: Sequence[int], dt: float = 1e-4) -> 'nir.NIRGraph':
    """The graph of one time step, which takes (C, H, W) and gives the logits (K, ).

    Norms are folded into convolutions, and max-pools of spikes are made of mean-pools and neurons, exactly. Nodes have
    the names of the student's modules, weights are in single precision.

    Args:
        deployed: The student.
        shape: Of one sample: (C, H, W) of an image, which is the input in every step, or (T, P, H, W) of event frames.
        dt: Length of a time step in seconds, to which time constants refer. 1e-4 is what simulators assume.

    Returns:
        The graph; its metadata have ``dt`` and the ``time_steps`` over which the logits are averaged.

    Raises:
        ModuleNotFoundError: If nir is not installed.
        ValueError: If NIR cannot hold a layer; the message names it and says why.
    """
    graph, logits, time_steps = trace(deployed, tuple(shape), dt)
    return graph.finish(logits, dict(dt=float(dt), time_steps=time_steps, software=f'bkdsnn {__version__}'))


def nir_to_bytes(graph: 'nir.NIRGraph') -> bytes:
    """The content of the graph's file."""
    buffer = io.BytesIO()
    require('nir', 'nir', 'the export to NIR').write(buffer, graph)
    return buffer.getvalue()


def nir_runner(content: bytes, deployed: Deployed) -> Runner:
    """The network in a file, for :func:`bkdsnn.export.check`: rebuilt by nirtorch, in double precision.

    In it, as little as can be is decided by rounding: that of the weights.

    Args:
        content: Of the file.
        deployed: The student.
    """
    graph = require('nir', 'nir', 'the check').read(io.BytesIO(content))
    module = from_nir(graph, dtype=torch.float64)
    steps = int(graph.metadata['time_steps'])
    # nirtorch's names have no dots.
    paths = {path.replace('.', '_'): path for path in deployed.neurons}

    def spikes(inputs: Tensor, like: Dict[str, Tensor]) -> Dict[str, Tensor]:
        seen: Dict[str, list] = {path: [] for path in deployed.neurons}
        neurons = [(paths[name], node) for name, node in module.named_children()
                   if isinstance(node, NIRNeuron) and name in paths]
        handles = [node.register_forward_hook(lambda _, args, out, path=path: seen[path].append(out[0]))
                   for path, node in neurons]
        run_nir(module, inputs, steps)
        for handle in handles:
            handle.remove()
        return {path: torch.stack(steps) for path, steps in seen.items()}

    return Runner(lambda inputs: run_nir(module, inputs, steps), spikes, torch.float64)
