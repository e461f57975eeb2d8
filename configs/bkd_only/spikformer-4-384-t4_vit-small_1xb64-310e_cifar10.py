# Spikformer 4-384 with CML on CIFAR-10: cross-entropy and blurred distillation.
_base_ = ['../bkd/spikformer-4-384-t4_vit-small_1xb64-310e_cifar10.py']
model = dict(losses=dict(loss_wsld=None))
