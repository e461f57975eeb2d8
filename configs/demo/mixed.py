# The whole method: cross-entropy, blurred distillation of the last feature map, weighted soft labels.
_base_ = ['./plain.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(type='FrozenTeacher', model='{{ fileDirname }}/teacher.py', checkpoint='work_dirs/demo/teacher',
                 expected_accuracy=98.0),
    input_shape=(1, 8, 8),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.layer3', teacher='backbone.layer3', blur_ratio=0.15,
                      loss_weight=5e-2),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher='head', tau=8.0)))
optim_wrapper = dict(optimizer=dict(lr=0.1), clip_grad=dict(max_norm=5.0))
work_dir = 'work_dirs/demo/mixed'
