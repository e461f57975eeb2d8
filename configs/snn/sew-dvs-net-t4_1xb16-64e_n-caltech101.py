# SEW network on N-Caltech101, 4 frames.
_base_ = [
    '../_base_/models/sew_dvs_net.py',
    '../_base_/datasets/n_caltech101.py',
    '../_base_/schedules/dvs_sew_64e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(num_classes=101))
