"""Max-pooling of spikes in NIR, which has none: mean-pooling, and neurons that fire at any input.

The largest of whole numbers 0..n in a window is the number of levels 1..n that some pixel of it reaches, so

    max(x) = any(x) + max(x - (x >= 1)),

where the second part has one level less. ``any`` is a mean-pool and a neuron whose threshold is below the smallest
mean that is not 0. It fires in each step in which anything flows in and is reset to 0 then, so that it remembers
nothing; the same neuron on the map itself is ``x >= 1``.
"""
from typing import Tuple

import numpy as np

from .nir_graph import GraphBuilder, Signal


def max_pool(graph: GraphBuilder, x: Signal, window: int, stride: int, padding: int, size: Tuple[int, int]) -> Signal:
    """Add the nodes of a max-pool, which give exactly what it gives.

    Args:
        graph: Gets the nodes.
        x: Signal (C, H, W) of whole numbers from 0 to ``x.largest``.
        window: Side of the window.
        stride: Of the window.
        padding: Border of zeros on all sides.
        size: (H', W'), which tells whether windows over the edge count (``ceil_mode``).

    Returns:
        Signal (C, H', W') of whole numbers from 0 to ``x.largest``.
    """
    levels, largest = [], x.largest
    for level in range(1, largest + 1):
        pooled, share = _pool(graph, x, window, stride, padding, size, f'pool{level}')
        levels.append(graph.fire_at(pooled, share / 2, f'any{level}'))
        if level < largest:
            reached = graph.fire_at(x, 0.5, f'reaches{level}')
            x = graph.sum(x, graph.norm(reached, -1.0, 0.0, f'minus{level}'))
    return graph.sum(*levels)


def _pool(graph: GraphBuilder, x: Signal, window: int, stride: int, padding: int, size: Tuple[int, int], name: str
          ) -> Tuple[Signal, float]:
    """Mean or sum over each window, and how much of it a single spike is."""
    channels = x.shape[0]
    over = max((out - 1) * stride + window - (before + 2 * padding) for out, before in zip(size, x.shape[1:]))
    if over <= 0:
        return graph.mean_pool(x, (window, window), (stride, stride), (padding, padding), size, name), 1 / window**2
    # NIR pads both sides alike: a border that is wider moves the windows, and zeros before the weights move them back.
    ones = np.zeros((window + over, window + over))
    ones[over:, over:] = 1
    weight = np.einsum('ij,kl->ijkl', np.eye(channels), ones)
    return graph.conv(x, weight, None, stride, padding + over, 1, 1, (channels, *size), name), 1.0
