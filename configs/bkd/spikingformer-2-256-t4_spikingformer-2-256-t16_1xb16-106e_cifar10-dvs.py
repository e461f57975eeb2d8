# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames: cross-entropy, blurred distillation and weighted soft labels.
_base_ = [
    '../_base_/pairs/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py',
    '../_base_/methods/mixed.py'
]
_base_.losses.loss_wsld.loss_weight = 0.1
model = dict(losses=_base_.losses)
