# SEW-ResNet-18 on CIFAR-100: cross-entropy and weighted soft labels.
_base_ = ['../bkd/sew-resnet18-t4_resnet50_1xb64-310e_cifar100.py']
model = dict(losses=dict(loss_bkd=None))
