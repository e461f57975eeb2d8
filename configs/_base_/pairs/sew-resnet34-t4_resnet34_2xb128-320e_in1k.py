# SEW-ResNet-34 on ImageNet: student and teacher.
_base_ = ['../../snn/sew-resnet34-t4_2xb128-320e_in1k.py', '../teachers/resnet34_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 224, 224))
