# Spikingformer 2-256 with CML on CIFAR10-DVS, 4 frames: student and teacher.
_base_ = [
    '../../snn/spikingformer-2-256-t4_1xb16-106e_cifar10-dvs.py',
    '../teachers/spikingformer-2-256-t16_cifar10-dvs.py'
]
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
