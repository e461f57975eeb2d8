# SEW-ResNet-50 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/sew-resnet50-t4_resnet50_4xb128-320e_in1k.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
