# Spikingformer 8-768 with CML on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/spikingformer-8-768-t4_vit-base_4xb24-310e_in1k.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 7e-3
model = dict(losses=_base_.losses)
