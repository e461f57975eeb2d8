# The CNN teacher, trained on all labels: 14x14, 7x7 and 4x4 maps, as those of the SEW-ResNet.
_base_ = [
    '../_base_/models/resnet_digits.py', '../_base_/datasets/fashion_mnist.py', '../_base_/schedules/fashion_6e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(strides=(2, 2, 2), stem_channels=16, base_channels=16), head=dict(in_channels=64))
train_cfg = dict(max_epochs=12)
param_scheduler = dict(T_max=12)
work_dir = 'work_dirs/fashion/teacher_cnn'
