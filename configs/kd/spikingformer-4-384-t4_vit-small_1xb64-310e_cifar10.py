# Spikingformer 4-384 with CML on CIFAR-10: cross-entropy and Hinton's distillation.
_base_ = ['../_base_/pairs/spikingformer-4-384-t4_vit-small_1xb64-310e_cifar10.py', '../_base_/methods/kd.py']
model = dict(losses=_base_.losses)
