# SEW-ResNet-50 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-resnet50-t4_resnet50_4xb128-320e_in1k.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
