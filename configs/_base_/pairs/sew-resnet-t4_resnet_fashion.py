# A small SEW-ResNet on Fashion-MNIST, all labels: student and CNN teacher.
_base_ = ['../../fashion/sew_resnet.py', '../teachers/resnet_fashion.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=_base_.image_shape)
