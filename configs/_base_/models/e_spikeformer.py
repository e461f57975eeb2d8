# E-SpikeFormer, whose integers become four binary steps for inference (tools/test.py --spike-driven), and whose
# classifier reads those of a last neuron as they are; a config that inherits sets arch and the head's in_channels.
neuron = dict(type='SFANode', D=4, norm=4, backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='ESpikeFormer', arch='s', T=1, neuron=neuron),
    head=dict(
        type='SpikingLinearHead',
        num_classes=1000,
        in_channels=192,
        neuron=dict(neuron, norm=1),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02)))
student_taps = dict(stages=['backbone.stages.1', 'backbone.stages.2', 'backbone'])
