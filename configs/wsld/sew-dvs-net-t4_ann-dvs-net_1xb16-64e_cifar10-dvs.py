# SEW network on CIFAR10-DVS, 4 frames, from an ANN: cross-entropy and weighted soft labels.
_base_ = ['../bkd/sew-dvs-net-t4_ann-dvs-net_1xb16-64e_cifar10-dvs.py']
model = dict(losses=dict(loss_bkd=None))
