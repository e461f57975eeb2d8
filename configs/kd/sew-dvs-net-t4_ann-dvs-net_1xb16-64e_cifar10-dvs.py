# SEW network on CIFAR10-DVS, 4 frames, from an ANN: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/sew-dvs-net-t4_ann-dvs-net_1xb16-64e_cifar10-dvs.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
