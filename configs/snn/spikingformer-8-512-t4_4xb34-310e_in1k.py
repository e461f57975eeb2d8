# Spikingformer 8-512 with CML on ImageNet.
_base_ = [
    '../_base_/models/spikingformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch='8-512'), head=dict(in_channels=512, loss=_base_.smooth_loss))
train_dataloader = dict(batch_size=34)
val_dataloader = dict(batch_size=34)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=4.208e-4))
auto_scale_lr = dict(base_batch_size=136)
