# Max-Former 10-384 on ImageNet: student and teacher.
_base_ = ['../../snn/maxformer-10-384-t4_8xb64-200e_in1k.py', '../teachers/vit-base_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 224, 224))
