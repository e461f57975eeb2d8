# The whole method: cross-entropy, blurred distillation of the last feature map, weighted soft labels.
_base_ = ['../_base_/pairs/sew-resnet-t2_resnet_digits.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 5e-2
_base_.losses.loss_wsld.tau = 8.0
model = dict(losses=_base_.losses)
work_dir = 'work_dirs/demo/mixed'
