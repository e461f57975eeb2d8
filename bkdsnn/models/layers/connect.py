"""Spike-element-wise (SEW) connections of a residual branch with its identity (Fang et al., NeurIPS 2021, table 1)."""
from typing import Callable, Dict

from torch import Tensor

# (branch, identity) -> output. ADD sends integers, not binary spikes, to the next layer.
SEW_CONNECT: Dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'ADD': lambda branch, identity: branch + identity,
    'AND': lambda branch, identity: branch * identity,
    'IAND': lambda branch, identity: (1 - branch) * identity,
}
