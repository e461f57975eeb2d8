# The same on a tenth of the labels; the teacher has seen all.
_base_ = ['./spikingformer-1-32-t4_resnet_fashion.py']
train_dataloader = dict(dataset=dict(labels_per_class=550))
train_cfg = dict(max_epochs=20, val_interval=5)
param_scheduler = dict(T_max=20)
