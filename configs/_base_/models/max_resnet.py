# Max-ResNet for small images.
_base_ = ['./spikingformer.py']
model = dict(
    backbone=dict(_delete_=True, type='MaxResNet', arch=18, T=4, neuron=_base_.neuron),
    head=dict(in_channels=512, init_cfg=None))
student_taps = dict(stages=['backbone.layer2', 'backbone.layer3', 'backbone'])
