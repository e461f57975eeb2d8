# The whole method on events: the student sees 4 frames of a recording, the teacher 16 of the same.
_base_ = ['./events_plain.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(type='FrozenTeacher', model='{{ fileDirname }}/events_teacher.py',
                 checkpoint='work_dirs/demo_events/teacher', expected_accuracy=96.0),
    input_shape=_base_.views_shape,
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone.layer3', teacher='backbone.layer3', blur_ratio=0.15,
                      loss_weight=2e-2),
        loss_wsld=dict(type='WSLDLoss', student='head', teacher='head', tau=4.0)))
train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.3, weight_decay=5e-4), clip_grad=dict(max_norm=5.0))
work_dir = 'work_dirs/demo_events/mixed'
