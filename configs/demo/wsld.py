# Weighted soft labels alone.
_base_ = ['../_base_/pairs/sew-resnet-t2_resnet_digits.py', '../_base_/methods/wsld.py']
_base_.losses.loss_wsld.tau = 8.0
model = dict(losses=_base_.losses)
work_dir = 'work_dirs/demo/wsld'
