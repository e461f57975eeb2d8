# Spikformer 4-384 with CML on CIFAR-10.
_base_ = [
    '../_base_/models/spikformer.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/cifar_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(
    backbone=dict(arch='4-384', qkv_bias=True),
    head=dict(num_classes=10, in_channels=384, loss=_base_.smooth_loss))
custom_hooks = [*_base_.custom_hooks, _base_.mixup_off]
