# Spikingformer 8-768 with CML on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/spikingformer-8-768-t4_vit-base_4xb24-310e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
