# A small ViT as teacher, trained on all 500 training labels.
_base_ = [
    '../_base_/models/vit_digits.py', '../_base_/datasets/digits_32.py', '../_base_/schedules/digits_80e.py',
    '../_base_/default_runtime.py'
]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05))
train_cfg = dict(max_epochs=200)
param_scheduler = dict(T_max=200)
default_hooks = dict(checkpoint=dict(interval=20))
work_dir = 'work_dirs/demo_spikingformer/teacher_vit'
