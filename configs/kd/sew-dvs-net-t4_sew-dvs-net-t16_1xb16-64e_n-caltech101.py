# SEW network on N-Caltech101, 4 frames: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/sew-dvs-net-t4_sew-dvs-net-t16_1xb16-64e_n-caltech101.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
