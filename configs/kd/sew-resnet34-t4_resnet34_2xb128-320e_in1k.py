# SEW-ResNet-34 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-resnet34-t4_resnet34_2xb128-320e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
