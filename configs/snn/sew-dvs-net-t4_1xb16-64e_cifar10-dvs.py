# SEW network on CIFAR10-DVS, 4 frames.
_base_ = [
    '../_base_/models/sew_dvs_net.py',
    '../_base_/datasets/cifar10_dvs.py',
    '../_base_/schedules/dvs_sew_64e.py',
    '../_base_/default_runtime.py'
]
