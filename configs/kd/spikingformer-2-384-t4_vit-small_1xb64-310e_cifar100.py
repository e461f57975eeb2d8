# Spikingformer 2-384 with CML on CIFAR-100: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/spikingformer-2-384-t4_vit-small_1xb64-310e_cifar100.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
