# E-SpikeFormer 12-512 on ImageNet. The authors start from weights of masked image modelling, which is not part of this
# package (load_from=...), and lower the rate from layer to layer, which is not done here.
_base_ = [
    '../_base_/models/e_spikeformer_large.py',
    '../_base_/datasets/imagenet_224.py',
    '../_base_/schedules/imagenet_integer_200e.py',
    '../_base_/default_runtime.py'
]
model = dict(backbone=dict(arch='12-512', drop_path=0.1), head=dict(in_channels=512, loss=_base_.smooth_loss))
optim_wrapper = dict(optimizer=dict(lr=2.4e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=True, start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10, end=150, eta_min=1e-6, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=150)
auto_scale_lr = dict(base_batch_size=1024)
train_dataloader = dict(batch_size=128)
