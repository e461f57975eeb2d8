# SEW-ResNet-18 on CIFAR-100: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-resnet18-t4_resnet50_1xb64-310e_cifar100.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
