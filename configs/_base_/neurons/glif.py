# Gated leaky integrate-and-fire: leak, input and reset are learned mixtures.
neuron = dict(type='GLIFNode', T=None, surrogate=dict(type='Rectangular', alpha=1.0))
