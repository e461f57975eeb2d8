# Spikingformer 8-384 with CML on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/spikingformer-8-384-t4_vit-base_4xb48-310e_in1k.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
