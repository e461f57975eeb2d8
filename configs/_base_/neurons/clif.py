# Complementary leaky integrate-and-fire: a memory of spikes deepens the reset.
neuron = dict(type='CLIFNode', tau=2.0, v_threshold=1.0, surrogate=dict(type='Rectangular', alpha=1.0))
