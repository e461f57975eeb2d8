"""Convolutions and norms on their way into NIR, which has no norm: norms join the convolutions before them."""
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Tuple

import numpy as np

from ..models.layers.fuse import join

Edges = List[Tuple[str, str]]


@dataclass(frozen=True)
class Conv:
    """A convolution; ``weight`` (C', C / groups, k, k) and ``bias`` (C', ) in double precision, input of ``size``."""

    weight: np.ndarray
    bias: np.ndarray
    settings: dict
    size: Tuple[int, int]


@dataclass(frozen=True)
class Norm:
    """``x * scale + shift``, both (C, ), on maps of ``size``."""

    scale: np.ndarray
    shift: np.ndarray
    size: Tuple[int, int]

    def after(self, first: Any) -> Any:
        """One layer that does what ``first``, a :class:`Conv` or :class:`Norm`, and then this do."""
        if isinstance(first, Conv):
            weight, bias = join(first.weight, first.bias, self.scale, self.shift)
            return replace(first, weight=weight, bias=bias)
        return replace(first, scale=first.scale * self.scale, shift=first.shift * self.scale + self.shift)

    def as_conv(self) -> Conv:
        """The same as a 1x1 convolution: neither a ``Scale`` nor one group per channel, which few simulators read."""
        settings = dict(stride=1, padding=0, dilation=1, groups=1)
        return Conv(np.diag(self.scale)[:, :, None, None], self.shift, settings, self.size)


def only_needed(nodes: Dict[str, Any], edges: Edges, output: str) -> Tuple[Dict[str, Any], Edges]:
    """The nodes from which edges lead to the output, and their edges."""
    needed, before = {output}, [output]
    while before:
        before = [source for source, target in edges if target in before and source not in needed]
        needed.update(before)
    return ({name: node for name, node in nodes.items() if name in needed},
            [edge for edge in edges if edge[1] in needed])


def fold_norms(nodes: Dict[str, Any], edges: Edges) -> Tuple[Dict[str, Any], Edges]:
    """Join each norm with the convolution or norm before it, where nothing else reads that one.

    Args:
        nodes: By name, in an order in which they can run.
        edges: (from, to).

    Returns:
        Nodes without :class:`Norm`, and edges.
    """
    nodes = dict(nodes)
    for name, norm in list(nodes.items()):
        if not isinstance(norm, Norm):
            continue
        before, *others = [source for source, target in edges if target == name]
        readers = [target for source, target in edges if source == before]
        if others or len(readers) > 1 or not isinstance(nodes[before], (Conv, Norm)):
            continue
        nodes[before] = norm.after(nodes[before])
        del nodes[name]
        edges = [(before if source == name else source, target) for source, target in edges if target != name]
    return {name: node.as_conv() if isinstance(node, Norm) else node for name, node in nodes.items()}, edges
