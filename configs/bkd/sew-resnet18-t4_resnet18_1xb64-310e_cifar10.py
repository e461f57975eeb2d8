# SEW-ResNet-18 on CIFAR-10: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/sew-resnet18-t4_resnet18_1xb64-310e_cifar10.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 7e-5
model = dict(losses=_base_.losses)
