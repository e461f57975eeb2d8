"""Spikingformer (Zhou et al., 2023, arXiv 2304.11954)."""
from bkdsnn.registry import MODELS

from .spiking_transformer import SpikingTransformer


@MODELS.register_module()
class Spikingformer(SpikingTransformer):
    """Spikingformer: every neuron stands before its convolution, and the residuals are currents, not spikes.

    ``tokenizer='cml'`` is the network of BKDSNN; ``'plain'`` is the first published one. Arguments, errors and outputs
    as :class:`bkdsnn.models.backbones.spiking_transformer.SpikingTransformer`.
    """

    spike_first = True
    emits_spikes = False
    plain_tokenizer = 'plain'
