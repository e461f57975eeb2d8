# QKFormer; a config that inherits sets arch and the head's in_channels.
neuron = dict(
    type='LIFNode',
    tau=2.0,
    decay_input=True,
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='Sigmoid', alpha=4.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='QKFormer', arch='10-384', T=4, neuron=neuron),
    head=dict(
        type='SpikingLinearHead',
        num_classes=1000,
        in_channels=384,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02)))
