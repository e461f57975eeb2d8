_base_ = [
    '../_base_/models/sew_resnet_digits.py', '../_base_/datasets/digits.py', '../_base_/schedules/digits_60e.py',
    '../_base_/default_runtime.py'
]
work_dir = 'work_dirs/demo/plain'
