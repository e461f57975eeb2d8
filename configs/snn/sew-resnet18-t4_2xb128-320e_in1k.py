# SEW-ResNet-18 on ImageNet.
_base_ = [
    '../_base_/models/sew_resnet.py',
    '../_base_/datasets/imagenet_224_sew.py',
    '../_base_/schedules/imagenet_sew_320e.py',
    '../_base_/default_runtime.py'
]
train_dataloader = dict(batch_size=128)
