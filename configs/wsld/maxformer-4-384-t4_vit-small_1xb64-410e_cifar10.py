# Max-Former 4-384 on CIFAR-10: cross-entropy and weighted soft labels.
_base_ = ['../bkd/maxformer-4-384-t4_vit-small_1xb64-410e_cifar10.py']
model = dict(losses=dict(loss_bkd=None))
