# SEW-ResNet; a config that inherits sets arch and, for bottlenecks, the head's in_channels.
neuron = dict(
    type='IFNode',
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='ATan', alpha=2.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(type='SEWResNet', arch=18, T=4, neuron=neuron, connect='ADD'),
    head=dict(type='SpikingLinearHead', num_classes=1000, in_channels=512))
student_taps = dict(
    feature='backbone.layer4', stages=['backbone.layer2', 'backbone.layer3', 'backbone.layer4'])
