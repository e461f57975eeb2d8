# Spikingformer on CIFAR: 20 epochs of warm-up, a cosine until epoch 300, 10 epochs at the lowest rate, in mixed
# precision. See imagenet_transformer_310e.py for the shape of the schedule.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.06), paramwise_cfg=dict(flat_decay_mult=0.0))
param_scheduler = dict(type='WarmupCosineLR', T_max=300, warmup=20, warmup_lr=1e-5, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=310, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
# For the student's head: model=dict(head=dict(loss=_base_.smooth_loss)).
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
# Mixup is for the first 200 epochs: custom_hooks=[*_base_.custom_hooks, _base_.mixup_off]. It gets a chance of zero,
# since with None the soft labels would be integers.
mixup_off = dict(
    type='mmpretrain.SwitchRecipeHook',
    schedule=[
        dict(action_epoch=201, batch_augments=dict(augments=dict(type='mmpretrain.Mixup', alpha=0.5), probs=0.0))
    ])
