# Fine-tuning a pretrained transformer as teacher. Rates, decay and epochs are the authors' (cifar10-ann.yml), but for a
# total batch of 512 instead of 64 and with 5 epochs of warm-up instead of 20; train with --amp.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.06),
    # As timm does: neither one-dimensional parameters nor embeddings decay.
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0))))
param_scheduler = [
    dict(type='LinearLR', by_epoch=True, start_factor=0.02, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=50, T_max=45, eta_min=1e-5, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=512)
# For the model: model=dict(loss=_base_.smooth_loss).
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
