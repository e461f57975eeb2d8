# SEW network on CIFAR10-DVS, 4 frames: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../snn/sew-dvs-net-t4_1xb16-64e_cifar10-dvs.py', '../_base_/teachers/sew-dvs-net-t16_cifar10-dvs.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    input_shape=_base_.views_shape,
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.stage5.widen', teacher=_base_.teacher_feature, blur_ratio=0.15,
                      loss_weight=2e-3),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
test_dataloader = val_dataloader
