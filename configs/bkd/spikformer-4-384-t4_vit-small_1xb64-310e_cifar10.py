# Spikformer 4-384 with CML on CIFAR-10: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../_base_/pairs/spikformer-4-384-t4_vit-small_1xb64-310e_cifar10.py', '../_base_/methods/mixed.py']
model = dict(losses=_base_.losses)
