# SEW network on DVS128 Gesture, 4 frames.
_base_ = [
    '../_base_/models/sew_dvs_net.py',
    '../_base_/datasets/dvs_gesture.py',
    '../_base_/schedules/dvs_sew_64e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch='dvs-gesture'), head=dict(num_classes=11, in_channels=32))
