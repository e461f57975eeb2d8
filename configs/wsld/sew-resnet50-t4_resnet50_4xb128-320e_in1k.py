# SEW-ResNet-50 on ImageNet: cross-entropy and weighted soft labels.
_base_ = ['../bkd/sew-resnet50-t4_resnet50_4xb128-320e_in1k.py']
model = dict(losses=dict(loss_bkd=None))
