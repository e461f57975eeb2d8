# The SEW network for event frames, with learned time constants.
neuron = dict(
    type='ParametricLIFNode',
    tau=2.0,
    decay_input=True,
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='ATan', alpha=2.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SEWDVSNet', arch='cifar10-dvs', neuron=neuron, connect='ADD'),
    head=dict(type='SpikingLinearHead', num_classes=10, in_channels=128))
student_taps = dict(
    feature='backbone.stage5.widen',
    stages=['backbone.stage3.widen', 'backbone.stage4.widen', 'backbone.stage5.widen'])
