# Meta-SpikeFormer 8-384 on ImageNet: student and teacher.
_base_ = ['../../snn/meta-spikeformer-8-384-t4_4xb48-310e_in1k.py', '../teachers/vit-base_in1k.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 224, 224))
