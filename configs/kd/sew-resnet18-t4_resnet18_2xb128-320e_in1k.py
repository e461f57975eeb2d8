# SEW-ResNet-18 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-resnet18-t4_resnet18_2xb128-320e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
