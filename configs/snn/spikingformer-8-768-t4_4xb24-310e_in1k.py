# Spikingformer 8-768 with CML on ImageNet.
_base_ = [
    '../_base_/models/spikingformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_transformer_310e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch='8-768'), head=dict(in_channels=768, loss=_base_.smooth_loss))
train_dataloader = dict(batch_size=24)
val_dataloader = dict(batch_size=24)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=3.5355e-4))
auto_scale_lr = dict(base_batch_size=96)
