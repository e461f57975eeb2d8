# SEW-ResNet-50 on ImageNet.
_base_ = [
    '../_base_/models/sew_resnet.py',
    '../_base_/datasets/imagenet_224_sew.py',
    '../_base_/schedules/imagenet_sew_320e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch=50), head=dict(in_channels=2048))
train_dataloader = dict(batch_size=128)
