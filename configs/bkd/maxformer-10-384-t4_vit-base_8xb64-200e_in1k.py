# Max-Former 10-384 on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/maxformer-10-384-t4_vit-base_8xb64-200e_in1k.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
