# SEW-ResNet-50 on ImageNet. The authors' README has the learning rate of 0.1 for this batch too (--nproc_per_node=4 -b
# 128 --lr 0.1), so it is not scaled.
_base_ = [
    '../_base_/models/sew_resnet.py',
    '../_base_/datasets/imagenet_224_sew.py',
    '../_base_/schedules/imagenet_sew_320e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch=50), head=dict(in_channels=2048))
train_dataloader = dict(batch_size=128)
auto_scale_lr = dict(base_batch_size=512)
