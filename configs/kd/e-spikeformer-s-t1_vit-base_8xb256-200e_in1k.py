# E-SpikeFormer-S on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/e-spikeformer-s-t1_vit-base_8xb256-200e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
