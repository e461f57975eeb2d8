# Integrate-and-fire: no leak.
neuron = dict(
    type='IFNode', v_threshold=1.0, v_reset=0.0, detach_reset=True, surrogate=dict(type='ATan', alpha=2.0))
