# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/spikingformer-2-256-t4_spikingformer-2-256-t16_1xb16-106e_cifar10-dvs.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
