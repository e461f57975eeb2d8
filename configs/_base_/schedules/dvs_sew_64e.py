# The paper's SEW networks on event data.
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=64, eta_min=0)
train_cfg = dict(by_epoch=True, max_epochs=64, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
