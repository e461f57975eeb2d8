# Max-Former 4-384 on CIFAR-10: cross-entropy and Hinton's distillation.
_base_ = ['../bkd/maxformer-4-384-t4_vit-small_1xb64-410e_cifar10.py']
model = dict(
    losses=dict(
        _delete_=True,
        loss_kd=dict(type='LogitsKDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
