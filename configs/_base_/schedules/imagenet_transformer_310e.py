# Spikingformer on ImageNet: 20 epochs of warm-up, a cosine until epoch 300, 10 epochs at the lowest rate, in mixed
# precision. The rate is the authors' for embeddings of 384 and four processes of 48 images; for 512 they take 4.208e-4
# (4x34), for 768 3.5355e-4 (4x24).
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    # As timm does: no decay of norms, biases and other one-dimensional parameters, such as the time constant of PLIF.
    paramwise_cfg=dict(flat_decay_mult=0.0))
# As timm does, too: the rate changes once an epoch, and the cosine begins at epoch 0, below the warm-up.
param_scheduler = dict(type='WarmupCosineLR', T_max=300, warmup=20, warmup_lr=1e-6, eta_min=1e-5)
train_cfg = dict(by_epoch=True, max_epochs=310, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=192)
# For the student's head: model=dict(head=dict(loss=_base_.smooth_loss)).
smooth_loss = dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original')
