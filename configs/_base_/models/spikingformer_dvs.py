# Spikingformer 2-256 for event frames, whose neurons forget faster than those for images.
neuron = dict(
    type='LIFNode',
    tau=1.75,
    decay_input=True,
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='Sigmoid', alpha=4.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='Spikingformer', arch='2-256', T=4, neuron=neuron, tokenizer='cml', in_channels=2),
    head=dict(
        type='SpikingLinearHead',
        num_classes=10,
        in_channels=256,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02)))
