# SEW-ResNets on ImageNet, in mixed precision: the rate falls once an epoch. It is the authors' for two processes of 128
# images with SEW-ResNet-18, and for four with SEW-ResNet-50, whose config says so.
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=320, eta_min=0)
train_cfg = dict(by_epoch=True, max_epochs=320, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)
