# The paper's Spikingformer on event data: 10 epochs of warm-up, a cosine until epoch 96, 10 epochs at the lowest rate,
# in mixed precision. See imagenet_transformer_310e.py for the shape of the schedule and what does not decay.
# Mixup and smoothing belong to the student, so the config that inherits sets
# model=dict(train_cfg=_base_.batch_augments, head=dict(loss=_base_.smooth_loss)). Mixup is for the first 75 epochs:
# custom_hooks=[*_base_.custom_hooks, _base_.mixup_off]. It gets a chance of zero, since with None the soft labels would
# be integers.
batch_augments = dict(augments=dict(type='mmpretrain.Mixup', alpha=0.5), probs=0.5)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.06),
    paramwise_cfg=dict(flat_decay_mult=0.0))
param_scheduler = dict(type='WarmupCosineLR', T_max=96, warmup=10, warmup_lr=1e-5, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=106, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
mixup_off = dict(
    type='mmpretrain.SwitchRecipeHook',
    schedule=[
        dict(action_epoch=76, batch_augments=dict(augments=dict(type='mmpretrain.Mixup', alpha=0.5), probs=0.0))
    ])
