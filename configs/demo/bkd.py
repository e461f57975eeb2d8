# Blurred distillation of the last feature map alone.
_base_ = ['../_base_/pairs/sew-resnet-t2_resnet_digits.py', '../_base_/methods/bkd.py']
_base_.losses.loss_bkd.loss_weight = 2e-2
model = dict(losses=_base_.losses)
optim_wrapper = dict(optimizer=dict(lr=0.3))
work_dir = 'work_dirs/demo/bkd'
