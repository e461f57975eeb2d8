# A Spikingformer without distillation: ten labels per class at 32 pixels, two time steps.
_base_ = [
    '../_base_/models/spikingformer_digits.py', '../_base_/datasets/digits_32.py', '../_base_/schedules/digits_80e.py',
    '../_base_/default_runtime.py'
]
train_dataloader = dict(dataset=dict(labels_per_class=10))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-2, weight_decay=0.05), clip_grad=dict(max_norm=5.0))
default_hooks = dict(checkpoint=dict(interval=10))
work_dir = 'work_dirs/demo_spikingformer/plain'
