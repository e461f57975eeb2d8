# Max-Former 10-384 on ImageNet, by its authors' recipe.
_base_ = [
    '../_base_/models/maxformer.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_integer_200e.py',
    '../_base_/default_runtime.py'
]
model = dict(head=dict(in_channels=384, loss=_base_.smooth_loss))
optim_wrapper = dict(optimizer=dict(lr=2.7e-3))
auto_scale_lr = dict(base_batch_size=512)
data_preprocessor = dict(
    batch_augments=dict(
        augments=[dict(type='mmpretrain.Mixup', alpha=0.25), dict(type='mmpretrain.CutMix', alpha=1.0)]))
train_dataloader = dict(batch_size=64)
