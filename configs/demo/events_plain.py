# The student on simulated events without distillation: ten labels per class, 4 frames a recording.
_base_ = [
    '../_base_/models/sew_resnet_digits.py', '../_base_/datasets/digits_dvs.py', '../_base_/schedules/digits_80e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(in_channels=2))
train_dataloader = dict(dataset=dict(labels_per_class=10))
optim_wrapper = dict(optimizer=dict(lr=1.0, weight_decay=2e-3), clip_grad=dict(max_norm=1.0))
default_hooks = dict(checkpoint=dict(interval=10))
work_dir = 'work_dirs/demo_events/plain'
