# Parallel spiking neuron: each time step reads all time steps.
neuron = dict(type='PSNNode', T=None, surrogate=dict(type='ATan', alpha=2.0))
