# SEW-ResNet-18 on CIFAR-10: student and teacher.
_base_ = ['../../snn/sew-resnet18-t4_1xb64-310e_cifar10.py', '../teachers/resnet18_cifar10.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 32, 32))
