# The SEW-ResNet of the digits with 4 time steps and a stem of stride 2: 14x14, 7x7 and 4x4 maps of 28x28 images.
_base_ = ['./sew_resnet_digits.py']
model = dict(backbone=dict(T=4, stem='halving'), channels_last=True)
