# Blurred distillation from the ViT: the space mean of the restored map against the class token.
_base_ = ['../_base_/pairs/spikingformer-1-64-t2_vit_digits-32.py', '../_base_/methods/bkd.py']
_base_.losses.loss_bkd.loss_weight = 1e-3
model = dict(losses=_base_.losses)
optim_wrapper = dict(optimizer=dict(lr=1e-2))
work_dir = 'work_dirs/demo_spikingformer/bkd_vit'
