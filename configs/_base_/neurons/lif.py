# Leaky integrate-and-fire, the leak fixed.
neuron = dict(
    type='LIFNode',
    tau=2.0,
    decay_input=True,
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='ATan', alpha=2.0))
