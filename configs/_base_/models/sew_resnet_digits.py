# A SEW-ResNet with three one-block stages for 8x8 images: 8x8, 4x4 and 2x2 maps.
neuron = dict(
    type='IFNode',
    v_threshold=1.0,
    v_reset=0.0,
    detach_reset=True,
    surrogate=dict(type='ATan', alpha=2.0),
    backend='auto')
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SEWResNet',
        arch=dict(layers=(1, 1, 1), widths=(16, 32, 64)),
        T=2,
        neuron=neuron,
        connect='ADD',
        in_channels=1,
        stem='small'),
    head=dict(type='SpikingLinearHead', num_classes=10, in_channels=64))
student_taps = dict(
    feature='backbone.layer3', stages=['backbone.layer1', 'backbone.layer2', 'backbone.layer3'])
