# SEW network on DVS128 Gesture, 4 frames: student and teacher.
_base_ = ['../../snn/sew-dvs-net-t4_1xb16-64e_dvs-gesture.py', '../teachers/sew-dvs-net-t16_dvs-gesture.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=_base_.views_shape)
train_dataloader = dict(dataset=dict(pipeline=_base_.views_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.views_pipeline))
test_dataloader = val_dataloader
