# A small Spikingformer on Fashion-MNIST, all labels: student and CNN teacher, whose 7x7 map is its second last.
_base_ = ['../../fashion/spikingformer.py', '../teachers/resnet_fashion.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=dict(_base_.teacher_taps, feature='backbone.layer2')),
    input_shape=_base_.image_shape)
