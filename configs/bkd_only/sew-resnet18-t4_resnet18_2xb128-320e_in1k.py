# SEW-ResNet-18 on ImageNet: cross-entropy and blurred distillation.
_base_ = ['../bkd/sew-resnet18-t4_resnet18_2xb128-320e_in1k.py']
model = dict(losses=dict(loss_wsld=None))
