# SEW-ResNet-18 on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/sew-resnet18-t4_resnet18_2xb128-320e_in1k.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 7e-5
model = dict(losses=_base_.losses)
