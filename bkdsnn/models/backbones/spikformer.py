"""Spikformer (Zhou et al., ICLR 2023, arXiv 2209.15425)."""
from bkdsnn.registry import MODELS

from .spiking_transformer import SpikingTransformer


@MODELS.register_module()
class Spikformer(SpikingTransformer):
    """Spikformer: every neuron follows its norm, and the residuals add spikes, so features are integers.

    ``tokenizer='sps'`` is the published one (spiking patch splitting), ``'cml'`` pools before the neuron.
    Arguments, errors and outputs as :class:`bkdsnn.models.backbones.spiking_transformer.SpikingTransformer`.
    """

    spike_first = False
    emits_spikes = True
    plain_tokenizer = 'sps'
