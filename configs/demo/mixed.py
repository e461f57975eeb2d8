_base_ = ['./plain.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(type='FrozenTeacher', model='{{ fileDirname }}/teacher.py', checkpoint='work_dirs/demo/teacher'),
    input_shape=(1, 8, 8),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.layer3', teacher='backbone.layer3', blur_ratio=0.15,
                      loss_weight=2e-3),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher='head', tau=2.0)))
work_dir = 'work_dirs/demo/mixed'
