"""All pictures of a network on one sample, with titles that say what they show."""
from typing import Dict, List, Optional, Sequence

import numpy as np
from matplotlib.figure import Figure

from .heat import draw_cam, draw_rate_map
from .recording import LayerTrace, Recording, check_neurons, choose_neurons, firing_rate_map
from .samples import Sample
from .spikes import draw_membranes, draw_raster

# Rows of a raster by default, and of membranes at most.
RASTER_ROWS, MEMBRANE_ROWS = 32, 8


def draw_recording(recording: Recording, sample: Sample, neurons: Optional[Sequence[int]] = None,
                   classes: Optional[Sequence[str]] = None) -> Dict[str, Figure]:
    """Raster, membranes and firing rates of each layer, and class activation.

    Of integers that are unfolded, rasters have all binary steps.

    Args:
        recording: Of the sample.
        sample: For its image and label.
        neurons: Flat indices into each layer; ``None`` are the most active ones.
        classes: Names of the classes, by index.

    Returns:
        By name: ``raster_<layer>``, ``membrane_<layer>`` for neurons that have a threshold, ``rate_<layer>`` for layers
        with space, and ``activation``.

    Raises:
        ValueError: If a neuron does not exist in a layer.
    """
    answer = describe(recording, sample, classes)
    figures = {}
    for path, layer in recording.layers.items():
        if neurons is not None:
            check_neurons(neurons, layer.spikes.shape[1:], path)
        heading = f'{path}: {layer.spikes.float().mean():.3f} spikes per neuron and step\n{answer}'
        figures[f'raster_{path}'] = _raster(layer, neurons, heading)
        if layer.charged is not None:
            figures[f'membrane_{path}'] = _membranes(layer, neurons, heading)
        if layer.spikes.dim() == 4:
            rate = firing_rate_map(layer.spikes).numpy()
            figures[f'rate_{path}'] = draw_rate_map(sample.image, rate, heading)
    figures['activation'] = _activation(recording, sample, classes, answer)
    return figures


def describe(recording: Recording, sample: Sample, classes: Optional[Sequence[str]] = None) -> str:
    """What was predicted, how sure, and what is true."""
    text = f'{sample.name}: predicted {_class(recording.predicted, classes)} ({100 * recording.scores[-1].max():.0f} %)'
    return text if sample.label is None else f'{text}, true {_class(sample.label, classes)}'


def _class(label: int, classes: Optional[Sequence[str]]) -> str:
    return str(classes[label] if classes else label)


def _raster(layer: LayerTrace, neurons: Optional[Sequence[int]], heading: str) -> Figure:
    chosen = choose_neurons(layer.spikes, RASTER_ROWS) if neurons is None else neurons
    return draw_raster(_columns(layer.spikes, chosen), _names(layer, chosen),
                       f'{heading}\n{_which(layer, chosen, neurons)}')


def _membranes(layer: LayerTrace, neurons: Optional[Sequence[int]], heading: str) -> Figure:
    chosen = (choose_neurons(layer.spikes, MEMBRANE_ROWS) if neurons is None else neurons)[:MEMBRANE_ROWS]
    return draw_membranes(_columns(layer.charged, chosen), _columns(layer.spikes, chosen), layer.threshold, layer.reset,
                          _names(layer, chosen), f'{heading}\n{_which(layer, chosen, neurons)}')


def _activation(recording: Recording, sample: Sample, classes: Optional[Sequence[str]], answer: str) -> Figure:
    label, maps, are_exact = recording.class_maps
    return draw_cam(sample.image, maps.numpy(), recording.scores[:, label].numpy(), sample.frames,
                    f'Class activation of {_class(label, classes)}, with its probability so far\n{answer}',
                    'evidence (mean + bias = logit)' if are_exact else 'evidence (by surrogate gradients)')


def _columns(values, chosen: Sequence[int]) -> np.ndarray:
    """Chosen neurons (T, N) of (T, ...)."""
    return values.flatten(1)[:, list(chosen)].numpy()


def _names(layer: LayerTrace, chosen: Sequence[int]) -> List[str]:
    """Index, and channel, row and column where there is space."""
    shape = tuple(layer.spikes.shape[1:])
    if len(shape) != 3:
        return [str(i) for i in chosen]
    return ['{} (c{} y{} x{})'.format(i, *np.unravel_index(i, shape)) for i in chosen]


def _which(layer: LayerTrace, chosen: Sequence[int], asked: Optional[Sequence[int]]) -> str:
    size, active = layer.spikes[0].numel(), int(layer.spikes.any(0).sum())
    if asked is not None:
        some = f'{len(chosen)}' if len(chosen) == len(asked) else f'the first {len(chosen)} of {len(asked)}'
        return f'{some} chosen ({size:,} neurons in all)'
    if not active:
        return f'{len(chosen)} of {size:,} neurons, none of which spikes'
    return f'{len(chosen)} of the {active:,} neurons that spike, most active first ({size:,} in all)'
