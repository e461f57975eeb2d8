# Max-Former 10-384 on ImageNet: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/maxformer-10-384-t4_vit-base_8xb64-200e_in1k.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
