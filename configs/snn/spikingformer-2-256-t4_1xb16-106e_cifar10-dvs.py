# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames.
_base_ = [
    '../_base_/models/spikingformer_dvs.py',
    '../_base_/datasets/cifar10_dvs_augmented.py',
    '../_base_/schedules/dvs_transformer_106e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(loss=_base_.smooth_loss), train_cfg=_base_.batch_augments)
custom_hooks = [*_base_.custom_hooks, _base_.mixup_off]
