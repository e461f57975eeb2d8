# The Spikingformer without distillation, on all labels.
_base_ = [
    '../_base_/models/spikingformer_fashion.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_6e.py', '../_base_/default_runtime.py'
]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=3e-3, weight_decay=0.05))
work_dir = 'work_dirs/fashion/spikingformer'
