# As for digits, for fewer epochs of more images.
_base_ = ['./digits_80e.py']
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = dict(T_max=6)
train_cfg = dict(max_epochs=6, val_interval=1)
auto_scale_lr = dict(base_batch_size=128)
