# The SEW-ResNet without distillation, on all labels.
_base_ = [
    '../_base_/models/sew_resnet_fashion.py', '../_base_/datasets/fashion_mnist.py',
    '../_base_/schedules/fashion_6e.py', '../_base_/default_runtime.py'
]
train_cfg = dict(max_epochs=10)
param_scheduler = dict(T_max=10)
work_dir = 'work_dirs/fashion/sew_resnet'
