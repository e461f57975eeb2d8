# E-SpikeFormer and Max-Former on ImageNet: 5 epochs of warm-up, a cosine until epoch 200, in mixed precision. The rate
# is E-SpikeFormer's, 6e-4 for 256 images, for eight processes of 256.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=4.8e-3, weight_decay=0.05), paramwise_cfg=dict(flat_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', by_epoch=True, start_factor=1e-3, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=200, eta_min=1e-6, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=2048)
# For the student's head: model=dict(head=dict(loss=_base_.smooth_loss)).
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
