# The teacher of the 4-frame SEW network on CIFAR10-DVS: the same network with 16 frames.
_base_ = ['./sew-dvs-net-t4_1xb16-64e_cifar10-dvs.py']
pipeline = [dict(_base_.pipeline[0], time_steps=16), _base_.pipeline[1]]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
