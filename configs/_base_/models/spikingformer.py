# Spikingformer with the CML tokenizer; a config that inherits sets arch and the head's in_channels. The authors ask for
# a drop
# path of 0.2, which their code never uses.
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
    backbone=dict(type='Spikingformer', arch='8-384', T=4, neuron=neuron, tokenizer='cml'),
    head=dict(
        type='SpikingLinearHead',
        num_classes=1000,
        in_channels=384,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02)))
student_taps = dict(stages=['backbone.tokenizer', 'backbone.blocks.0', 'backbone'])
