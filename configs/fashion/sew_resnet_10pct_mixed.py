# The same student, distilled by the whole method from the CNN that has seen all labels; numbers were searched alike.
_base_ = ['../_base_/pairs/sew-resnet-t4_resnet_fashion-10pct.py', '../_base_/methods/mixed.py']
_base_.losses.loss_bkd.loss_weight = 2e-2
model = dict(losses=_base_.losses)
work_dir = 'work_dirs/fashion/sew_resnet_10pct_mixed'
