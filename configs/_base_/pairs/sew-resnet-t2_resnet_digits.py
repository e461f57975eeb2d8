# A small SEW-ResNet on 8x8 digits, ten labels per class: student and teacher.
_base_ = ['../../demo/plain.py', '../teachers/resnet_digits.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(1, 8, 8))
optim_wrapper = dict(optimizer=dict(lr=0.1), clip_grad=dict(max_norm=5.0))
