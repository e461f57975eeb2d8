# SEW-ResNet-18 on CIFAR-10: cross-entropy and blurred distillation.
_base_ = ['../bkd/sew-resnet18-t4_resnet18_1xb64-310e_cifar10.py']
model = dict(losses=dict(loss_wsld=None))
