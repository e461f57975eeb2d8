# The SEW-ResNet on Fashion-MNIST before a simulated event camera, 4 frames a recording, on all labels.
_base_ = [
    '../_base_/models/sew_resnet_fashion.py', '../_base_/datasets/fashion_dvs.py', '../_base_/schedules/fashion_6e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(in_channels=2))
work_dir = 'work_dirs/fashion/events_plain'
