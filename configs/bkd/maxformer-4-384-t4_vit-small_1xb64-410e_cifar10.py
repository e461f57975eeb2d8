# Max-Former 4-384 on CIFAR-10: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../snn/maxformer-4-384-t4_1xb64-410e_cifar10.py', '../_base_/teachers/vit-small_cifar10.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    input_shape=(3, 32, 32),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher=_base_.teacher_feature, blur_ratio=0.15,
                      loss_weight=2e-3),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
