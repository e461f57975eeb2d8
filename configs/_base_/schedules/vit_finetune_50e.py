# Fine-tuning a pretrained transformer as teacher, in mixed precision. Rates, decay and the cosine's epochs are the
# authors' (cifar10-ann.yml), but for a total batch of 512 instead of 64, with 5 epochs of warm-up instead of 20 and
# without 10 more at the lowest rate. See imagenet_transformer_310e.py for the shape of the schedule.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.06),
    # As timm does: neither one-dimensional parameters nor embeddings decay.
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0))))
param_scheduler = dict(type='WarmupCosineLR', T_max=50, warmup=5, warmup_lr=1e-5, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=512)
# For the model: model=dict(loss=_base_.smooth_loss).
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
