# A small SEW-ResNet on simulated events, 4 frames against the teacher's 16: student and teacher.
_base_ = ['../../demo/events_plain.py', '../teachers/sew-resnet-t16_digits-dvs.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=_base_.views_shape)
train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.3, weight_decay=5e-4), clip_grad=dict(max_norm=5.0))
