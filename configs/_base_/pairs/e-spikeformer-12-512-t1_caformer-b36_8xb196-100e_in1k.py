# E-SpikeFormer 12-512 on ImageNet: student, with a classifier for the teacher's labels, and teacher.
_base_ = ['../../snn/e-spikeformer-12-512-t1_8xb128-150e_in1k.py', '../teachers/caformer-b36_in1k.py']
student = _base_.model
student.head.update(type='SpikingDistillationHead', neuron=dict(student.backbone.neuron, norm=1))
student.head.loss.update(loss_weight=0.5)
model = dict(
    _delete_=True,
    type='Distiller',
    student=student,
    teacher=_base_.teacher,
    taps=dict(student=_base_.student_taps, teacher=_base_.teacher_taps),
    input_shape=(3, 224, 224))
data_preprocessor = dict(
    batch_augments=dict(augments=[dict(type='mmpretrain.Mixup', alpha=0.5), dict(type='mmpretrain.CutMix', alpha=1.0)]))
optim_wrapper = dict(optimizer=dict(lr=6.125e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=True, start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=100, eta_min=1e-6, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=1568)
train_dataloader = dict(batch_size=196)
