# SEW network on CIFAR10-DVS, 4 frames, from an ANN: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/sew-dvs-net-t4_ann-dvs-net_1xb16-64e_cifar10-dvs.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
