# The teacher: an ANN trained on all 500 training labels.
_base_ = [
    '../_base_/models/resnet_digits.py', '../_base_/datasets/digits.py', '../_base_/schedules/digits_80e.py',
    '../_base_/default_runtime.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.1))
default_hooks = dict(checkpoint=dict(interval=10))
work_dir = 'work_dirs/demo/teacher'
