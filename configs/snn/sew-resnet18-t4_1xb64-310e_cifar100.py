# SEW-ResNet-18 on CIFAR-100, which is not in the paper; trained as its transformers are.
_base_ = [
    '../_base_/models/sew_resnet.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(
    backbone=dict(stem='small'),
    head=dict(num_classes=100, in_channels=512, loss=_base_.smooth_loss))
custom_hooks = [*_base_.custom_hooks, _base_.mixup_off]
