# Spikingformer 2-384 with CML on CIFAR-100: cross-entropy and blurred distillation.
_base_ = ['../bkd/spikingformer-2-384-t4_vit-small_1xb64-310e_cifar100.py']
model = dict(losses=dict(loss_wsld=None))
