# Hinton's distillation of the logits.
_base_ = ['../_base_/pairs/sew-resnet-t2_resnet_digits.py', '../_base_/methods/kd.py']
_base_.losses.loss_kd.tau = 8.0
model = dict(losses=_base_.losses)
optim_wrapper = dict(optimizer=dict(lr=0.3))
work_dir = 'work_dirs/demo/kd'
