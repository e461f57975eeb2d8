# A small Spikingformer on digits at 32 pixels, ten labels per class: student and ViT teacher.
_base_ = ['../../demo/spikingformer_plain.py', '../teachers/vit_digits-32.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(1, 32, 32))
optim_wrapper = dict(optimizer=dict(lr=0.1))
