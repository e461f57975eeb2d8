# SEW-ResNet-34 on ImageNet: cross-entropy and weighted soft labels.
_base_ = ['../bkd/sew-resnet34-t4_resnet34_2xb128-320e_in1k.py']
model = dict(losses=dict(loss_bkd=None))
