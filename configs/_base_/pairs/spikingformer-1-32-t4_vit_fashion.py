# A small Spikingformer on Fashion-MNIST, all labels: student and ViT teacher.
_base_ = ['../../fashion/spikingformer.py', '../teachers/vit_fashion.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=_base_.image_shape)
