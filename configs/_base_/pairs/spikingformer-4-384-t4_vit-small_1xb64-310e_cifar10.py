# Spikingformer 4-384 with CML on CIFAR-10: student and teacher.
_base_ = ['../../snn/spikingformer-4-384-t4_1xb64-310e_cifar10.py', '../teachers/vit-small_cifar10.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 32, 32))
