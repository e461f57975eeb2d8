# SEW network on CIFAR10-DVS, 4 frames: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_cifar10-dvs.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
