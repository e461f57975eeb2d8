# Spikingformer 4-384 with CML on CIFAR-100: cross-entropy and weighted soft labels.
_base_ = ['../bkd/spikingformer-4-384-t4_vit-small_1xb64-310e_cifar100.py']
model = dict(losses=dict(loss_bkd=None))
