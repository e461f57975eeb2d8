# Your own images, one folder per class: student and teacher.
_base_ = ['../../snn/spikformer_custom.py', '../teachers/vit-base_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(_base_.teacher, expected_accuracy=None),
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 224, 224))
