# Blurred distillation of the last feature map from the CNN: an 8x8 map against an 8x8 map.
_base_ = ['./spikingformer_plain.py']
model = dict(
    _delete_=True,
    type='Distiller',
    student=_base_.model,
    teacher=dict(type='FrozenTeacher', model='{{ fileDirname }}/spikingformer_teacher_cnn.py',
                 checkpoint='work_dirs/demo_spikingformer/teacher_cnn', expected_accuracy=97.0),
    input_shape=(1, 32, 32),
    losses=dict(
        loss_bkd=dict(type='BKDLoss', student='backbone', teacher='backbone.layer3', blur_ratio=0.15,
                      loss_weight=2e-3)))
optim_wrapper = dict(optimizer=dict(lr=3e-3))
work_dir = 'work_dirs/demo_spikingformer/bkd_cnn'
