# Spikformer 4-384 with CML on CIFAR-100: student and teacher.
_base_ = ['../../snn/spikformer-4-384-t4_1xb64-310e_cifar100.py', '../teachers/vit-small_cifar100.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 32, 32))
