# The teacher of the 4-frame SEW network on N-Caltech101: the same network with 16 frames.
_base_ = ['./sew-dvs-net-t4_1xb16-64e_n-caltech101.py']
train_dataloader = dict(dataset=dict(pipeline=_base_.teacher_train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.teacher_pipeline))
test_dataloader = val_dataloader
