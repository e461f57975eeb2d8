# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames: cross-entropy and Hinton's distillation.
_base_ = [
    '../_base_/pairs/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py',
    '../_base_/methods/kd.py'
]
model = dict(losses=_base_.losses)
