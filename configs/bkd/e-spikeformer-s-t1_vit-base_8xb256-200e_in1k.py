# E-SpikeFormer-S on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/e-spikeformer-s-t1_vit-base_8xb256-200e_in1k.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
