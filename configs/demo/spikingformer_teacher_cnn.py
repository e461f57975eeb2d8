# The demo's CNN teacher at 32 pixels: 32x32, 16x16 and 8x8 maps.
_base_ = [
    '../_base_/models/resnet_digits.py', '../_base_/datasets/digits_32.py', '../_base_/schedules/digits_80e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=64))
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_epochs=40)
param_scheduler = dict(T_max=40)
default_hooks = dict(checkpoint=dict(interval=10))
work_dir = 'work_dirs/demo_spikingformer/teacher_cnn'
