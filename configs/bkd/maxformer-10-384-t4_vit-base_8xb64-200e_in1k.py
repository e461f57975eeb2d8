# Max-Former 10-384 on ImageNet: cross-entropy, blurred distillation and weighted soft labels.
_base_ = ['../snn/maxformer-10-384-t4_8xb64-200e_in1k.py', '../_base_/teachers/vit-base_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    input_shape=(3, 224, 224),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher=_base_.teacher_feature, blur_ratio=0.15,
                      loss_weight=2e-3),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher=_base_.teacher_logits, tau=2.0)))
