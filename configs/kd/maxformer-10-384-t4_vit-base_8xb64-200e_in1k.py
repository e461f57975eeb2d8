# Max-Former 10-384 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/maxformer-10-384-t4_vit-base_8xb64-200e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
